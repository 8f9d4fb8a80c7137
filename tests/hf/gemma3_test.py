"""Gemma 3's config.json, read: every spelling, what Google's own leaves out, and everything that is refused."""

import copy
import dataclasses
import json

import pytest
from random_gemma3 import MULTIMODAL, SHAPES, SPARSE_4B

from reeval import hf
from reeval.hf import gemma3
from reeval.models import Gemma3Config, MedGemmaConfig
from reeval.models.gemma3 import Rope

TEXT = {n: v for n, v in SHAPES["text-ratio1-v4"].items() if not n.startswith(("rope", "query", "sliding"))}
WHOLE = SHAPES["ratio4-v5"]
LOCAL, GLOBAL = "sliding_attention", "full_attention"


def changed(raw, fields):
    """With fields set by dotted name, or left out if they are `...`."""
    raw = copy.deepcopy(raw)
    for name, value in fields.items():
        *path, last = name.split(".")
        part = raw
        for key in path:
            part = part[key]
        if value is ...:
            del part[last]
        else:
            part[last] = value
    return raw


def test_sizes():
    config = gemma3.read_config(SHAPES["text-ratio1-v4"])
    assert type(config) is Gemma3Config
    assert (config.vocab_size, config.d_model, config.hidden, config.num_layers) == (61, 24, 40, 7)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (3, 3, 10)
    assert (config.norm_eps, config.tied, config.query_scale) == (1e-5, True, 7**-0.5)
    assert config.windows == (5, 5, 5, 5, 5, None, 5)
    assert (config.local_rope, config.global_rope) == (Rope(300.0), Rope(20000.0, 8.0))


def test_sizes_of_the_tower():
    config = gemma3.read_config(WHOLE)
    assert type(config) is MedGemmaConfig
    vision = config.vision
    assert (vision.image_size, vision.patch_size, vision.channels, vision.grid) == (24, 4, 3, 6)
    assert (vision.d_model, vision.hidden, vision.num_layers, vision.num_heads) == (18, 26, 3, 3)
    assert (vision.norm_eps, config.tokens_per_image, config.image_token) == (1e-6, 9, 82)
    assert config.windows == (5, 5, 5, 5, 5, None, 5)
    assert (config.local_rope, config.global_rope) == (Rope(500.0), Rope(1e5, 2.0))


def test_the_oldest_name_of_a_ropes_type_counts():
    """transformers 5 reads it as no scaling at all; transformers 4, which wrote it, as what it says."""
    config = gemma3.read_config(TEXT | {"rope_scaling": {"type": "linear", "factor": 3.0}})
    assert (config.local_rope, config.global_rope) == (Rope(1e4), Rope(1e6, 3.0))


LINEAR = {"rope_type": "linear", "factor": 8.0}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rope_theta": 5000.0},
        {"rope_local_base_freq": 77.0},
        {"rope_theta": 5000.0, "rope_local_base_freq": 77.0, "rope_scaling": LINEAR},
        {"rope_scaling": None, "rope_theta": 12},
        {"rope_scaling": {"rope_type": "default"}},
        {"rope_parameters": {GLOBAL: LINEAR | {"rope_theta": 1e5}, LOCAL: {"rope_type": "default", "rope_theta": 3e3}}},
        {"rope_parameters": {GLOBAL: LINEAR | {"rope_theta": 1e5}}},
        {"rope_parameters": {GLOBAL: {"rope_type": "default"}, LOCAL: LINEAR | {"rope_theta": 50.0}}},
        {"rope_parameters": {LOCAL: {"rope_type": "default", "rope_theta": 3e3}}, "rope_theta": 7e3},
        {"rope_parameters": {GLOBAL: None, LOCAL: None}},
        {"rope_parameters": None},
        {"sliding_window_pattern": 2},
        {"sliding_window_pattern": 1},
        {"sliding_window_pattern": 100},
        {"layer_types": None, "sliding_window": 33},
        {"layer_types": [LOCAL, GLOBAL, GLOBAL, LOCAL, LOCAL, LOCAL, GLOBAL]},
        {"layer_types": [GLOBAL] * 7, "sliding_window": None},
        {"query_pre_attn_scalar": 168, "rms_norm_eps": ..., "head_dim": ...},
        {"num_hidden_layers": ..., "vocab_size": ..., "hidden_size": ..., "intermediate_size": ...},
        {"num_attention_heads": ..., "num_key_value_heads": ..., "hidden_activation": ...},
        {"tie_word_embeddings": False},
        {"use_bidirectional_attention": False, "final_logit_softcapping": None},
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_transformers_understands_the_same(tmp_path, fields, nested):
    if nested and "hidden_size" not in fields:
        raw = changed(WHOLE, {"text_config": TEXT})
        raw = changed(raw, {f"text_config.{name}": value for name, value in fields.items()})
    else:
        raw = changed(TEXT, fields)
    agrees(tmp_path, raw)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"vision_config": {"model_type": "siglip_vision_model"}},
        {"vision_config.num_channels": ..., "vision_config.layer_norm_eps": ..., "vision_config.hidden_act": ...},
        {"vision_config.image_size": ..., "vision_config.patch_size": 32, "mm_tokens_per_image": 49},
        {"mm_tokens_per_image": ..., "vision_config.image_size": 64},
        {"image_token_index": ...},
        {"image_token_index": ..., "image_token_id": 17},
        {"text_config": {"model_type": "gemma3_text"}},
        {"tie_word_embeddings": False},
        {"tie_word_embeddings": True},
    ],
)
def test_transformers_understands_the_same_of_images(tmp_path, fields):
    # The default tower has 14 patches along a side.
    fields = fields | ({"mm_tokens_per_image": 49} if isinstance(fields.get("vision_config"), dict) else {})
    agrees(tmp_path, changed(WHOLE, fields))


def test_transformers_understands_the_same_of_the_real_file(tmp_path):
    config = agrees(tmp_path, SPARSE_4B)
    assert (config.vocab_size, config.num_layers, config.num_heads, config.num_kv_heads) == (262208, 34, 8, 4)
    assert (config.head_dim, config.query_scale, config.tied) == (256, 1 / 16, True)
    assert (config.local_rope, config.global_rope) == (Rope(1e4), Rope(1e6, 8.0))
    assert config.windows[4:6] == (1024, None) and config.windows[-1] == 1024


def agrees(directory, raw):
    """Our config of these fields, once it has been compared with transformers'."""
    from transformers import AutoConfig

    (directory / "config.json").write_text(json.dumps(raw))
    ours, theirs = hf.load_config(directory), AutoConfig.from_pretrained(directory)
    assert ours.tied == theirs.tie_word_embeddings
    text = theirs.get_text_config()
    for name, own in gemma3._TEXT.items():
        assert getattr(ours, own) == getattr(text, name), name
    assert ours.norm_eps == text.rms_norm_eps
    assert ours.query_scale == text.query_pre_attn_scalar**-0.5
    assert ours.windows == tuple(text.sliding_window if kind == LOCAL else None for kind in text.layer_types)
    for rope, kind in ((ours.local_rope, LOCAL), (ours.global_rope, GLOBAL)):
        parameters = text.rope_parameters[kind]
        assert rope == Rope(parameters["rope_theta"], parameters.get("factor", 1.0)), kind
        assert (rope.factor == 1.0) == (parameters["rope_type"] == "default")
    assert (type(ours) is MedGemmaConfig) == (raw["model_type"] == "gemma3")
    if type(ours) is MedGemmaConfig:
        for name, own in gemma3._TOWER_SIZES.items():
            assert getattr(ours.vision, own) == getattr(theirs.vision_config, name), name
        assert ours.vision.norm_eps == theirs.vision_config.layer_norm_eps
        assert ours.tokens_per_image == theirs.mm_tokens_per_image
        assert ours.image_token == theirs.image_token_id
    return ours


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_config": [1]}, "text_config is no object"),
        ({"text_config.hidden_size": None}, r"text_config\.hidden_size is no whole number above 0: None"),
        ({"text_config.num_hidden_layers": "2"}, r"text_config\.num_hidden_layers is no whole number above 0: '2'"),
        ({"text_config.num_hidden_layers": 10**9}, r"text_config\.num_hidden_layers is larger than any model's"),
        ({"text_config.head_dim": True}, r"text_config\.head_dim is no whole number above 0: True"),
        ({"text_config.head_dim": 9}, r"text_config\.head_dim is odd"),
        ({"text_config.num_key_value_heads": 3}, "num_attention_heads is no multiple of num_key_value_heads"),
        ({"text_config.rms_norm_eps": "small"}, "rms_norm_eps is no number above 0: 'small'"),
        ({"text_config.query_pre_attn_scalar": 0}, "query_pre_attn_scalar is no number above 0: 0"),
        ({"text_config.attention_bias": True}, r"text_config\.attention_bias is not supported"),
        ({"text_config.attn_logit_softcapping": 50.0}, r"text_config\.attn_logit_softcapping is not supported"),
        ({"text_config.final_logit_softcapping": 30.0}, r"text_config\.final_logit_softcapping is not supported"),
        ({"text_config.use_bidirectional_attention": True}, "use_bidirectional_attention is not supported"),
        ({"text_config.hidden_activation": "silu"}, "hidden_activation 'silu' is not supported"),
        ({"text_config.layer_types": [LOCAL] * 6}, "layer_types is no list of 7 times"),
        ({"text_config.layer_types": [LOCAL] * 6 + ["chunked_attention"]}, "layer_types is no list of 7 times"),
        ({"text_config.layer_types": "full_attention"}, "layer_types is no list of 7 times"),
        ({"text_config.layer_types": [[]] * 7}, "layer_types is no list of 7 times"),
        ({"text_config.sliding_window": 0}, "sliding_window is no whole number above 0: 0"),
        ({"text_config.sliding_window": None}, "sliding_window is no whole number above 0: None"),
        ({"text_config.rope_parameters": [1]}, "rope_parameters is no object"),
        ({"text_config.rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}, "rope_parameters is not by"),
        ({f"text_config.rope_parameters.{GLOBAL}.rope_type": "yarn"}, "rope_type 'yarn' is not supported"),
        ({f"text_config.rope_parameters.{LOCAL}.rope_type": "dynamic"}, "rope_type 'dynamic' is not supported"),
        ({f"text_config.rope_parameters.{GLOBAL}.factor": ...}, "factor is missing"),
        ({f"text_config.rope_parameters.{GLOBAL}.factor": -2.0}, "factor is no number above 0: -2.0"),
        ({f"text_config.rope_parameters.{GLOBAL}.partial_rotary_factor": 0.5}, "partial_rotary_factor is not 1"),
        ({"text_config.rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic' is not supported"),
        ({"text_config.rope_local_base_freq": -1.0}, "rope_local_base_freq is no number above 0: -1.0"),
        ({"vision_config": 3}, "vision_config is no object"),
        ({"vision_config.model_type": "clip_vision_model"}, "model_type 'clip_vision_model' is not supported"),
        ({"vision_config.hidden_act": "quick_gelu"}, "hidden_act 'quick_gelu' is not supported"),
        ({"vision_config.num_attention_heads": 4}, r"vision_config\.hidden_size is no multiple of num_attention_heads"),
        ({"vision_config.image_size": [24, 24]}, r"image_size is no whole number above 0: \[24, 24\]"),
        ({"vision_config.patch_size": 25}, "patch_size is larger than image_size"),
        ({"mm_tokens_per_image": 8}, "mm_tokens_per_image is no square: 8"),
        ({"mm_tokens_per_image": 16}, "a grid of 6 patches does not pool to 4 along a side"),
        ({"mm_tokens_per_image": 49}, "a grid of 6 patches does not pool to 7 along a side"),
        ({"image_token_index": "x"}, "image_token_index is no whole number above 0: 'x'"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_the_file(tmp_path, fields, message):
    (tmp_path / "config.json").write_text(json.dumps(changed(WHOLE, fields)))
    with pytest.raises(ValueError, match=message) as caught:
        hf.load_config(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'config.json'}: ") and "\n" not in text


def test_all_problems_are_named_at_once():
    fields = {"text_config.head_dim": -2, "text_config.attention_bias": True, "vision_config.patch_size": 0}
    with pytest.raises(ValueError, match=r"head_dim .*; text_config\.attention_bias .*; vision_config\.patch_size "):
        gemma3.read_config(changed(WHOLE, fields))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_written_config_reads_back_and_transformers_understands_it(tmp_path, shape):
    config = gemma3.read_config(SHAPES[shape])
    assert agrees(tmp_path, json.loads(json.dumps(gemma3.write_config(config)))) == config
    assert gemma3.read_config(gemma3.write_config(dataclasses.replace(config, tied=not config.tied))) != config


def test_a_factor_of_the_local_rope_is_written_too(tmp_path):
    config = dataclasses.replace(gemma3.read_config(SHAPES["text-ratio1-v4"]), local_rope=gemma3.Rope(1e4, 2.0))
    assert agrees(tmp_path, json.loads(json.dumps(gemma3.write_config(config)))) == config


@pytest.mark.parametrize("shape", MULTIMODAL)
def test_the_decoder_of_a_whole_config_is_that_of_its_text_config(shape):
    from reeval.models import without_images

    text = gemma3.read_config(SHAPES[shape]["text_config"])
    assert without_images(gemma3.read_config(SHAPES[shape])) == text == without_images(text)
