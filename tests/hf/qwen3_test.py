"""config.json, read: both spellings, defaults, and everything that is refused."""

import dataclasses
import json

import pytest
from random_qwen3 import SHAPES

from reeval import hf
from reeval.hf import qwen3

PLAIN = {name: value for name, value in SHAPES["ratio1-untied-v4"].items() if not name.startswith("rope")}


def test_sizes():
    config = qwen3.read_config(PLAIN)
    sizes = (config.vocab_size, config.d_model, config.hidden, config.num_layers)
    assert sizes == (61, 24, 40, 2)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (3, 3, 10)
    assert (config.norm_eps, config.tied) == (1e-5, False)


@pytest.mark.parametrize(
    ("fields", "theta"),
    [
        ({}, 1e4),
        ({"rope_theta": 5000}, 5e3),
        ({"rope_theta": 5000.0, "rope_scaling": None}, 5e3),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, 1e6),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}, "rope_theta": 2.0}, 1e6),
        ({"rope_theta": 7.0, "rope_parameters": {"rope_type": "default"}}, 7.0),
        ({"rope_theta": 7.0, "rope_scaling": {"type": "default"}}, 7.0),
    ],
)
def test_theta_in_both_spellings(fields, theta):
    assert qwen3.read_config(PLAIN | fields).rope_theta == theta


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rope_theta": 5000.0},
        {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}},
        {"rope_theta": 7.0, "rope_parameters": {"rope_type": "default"}},
        {"rope_theta": 7.0, "rope_scaling": {"type": "default"}},
        {"num_key_value_heads": None},
        {"head_dim": ...},
        {"num_key_value_heads": ..., "num_attention_heads": 64},
        {"tie_word_embeddings": ...},
        {"rms_norm_eps": ...},
        {"sliding_window": 4096, "use_sliding_window": False},
    ],
)
def test_transformers_understands_the_same(tmp_path, fields):
    from transformers import AutoConfig

    raw = {name: value for name, value in (PLAIN | fields).items() if value is not ...}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    ours, theirs = hf.load_config(tmp_path), AutoConfig.from_pretrained(tmp_path)
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]
    assert ours.num_kv_heads == theirs.num_key_value_heads
    assert ours.head_dim == theirs.head_dim
    assert ours.tied == theirs.tie_word_embeddings
    assert ours.norm_eps == theirs.rms_norm_eps


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": None}, "hidden_size is no whole number above 0: None"),
        ({"hidden_size": 0}, "hidden_size is no whole number above 0: 0"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers is no whole number above 0: '2'"),
        ({"head_dim": True}, "head_dim is no whole number above 0: True"),
        ({"head_dim": 9}, "head_dim is odd"),
        ({"num_attention_heads": 4}, "num_attention_heads is no multiple of num_key_value_heads"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps is no number above 0: 'small'"),
        ({"rope_theta": -1.0}, "rope_theta is no number above 0: -1.0"),
        ({"rope_parameters": [1]}, "rope_parameters is no object"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope scaling of type 'yarn' is not supported"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1.0}}, "rope scaling of type 'linear'"),
        ({"rope_parameters": {"rope_theta": 1.0, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor other than 1 is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported, only 'silu'"),
        ({"attention_bias": True}, "attention_bias is not supported"),
        ({"use_sliding_window": True, "sliding_window": 4096}, "sliding-window attention is not supported"),
        (
            {"layer_types": ["full_attention", "sliding_attention"]},
            "sliding-window attention is not supported",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_the_file(tmp_path, fields, message):
    (tmp_path / "config.json").write_text(json.dumps(PLAIN | fields))
    with pytest.raises(ValueError, match=message) as caught:
        hf.load_config(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: ")


def test_all_problems_are_named_at_once():
    with pytest.raises(ValueError, match=r"vocab_size is missing; .*head_dim.*; attention_bias is not supported"):
        qwen3.read_config(
            {n: v for n, v in PLAIN.items() if n != "vocab_size"} | {"head_dim": -2, "attention_bias": True}
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_written_config_reads_back(shape):
    config = qwen3.read_config(SHAPES[shape])
    assert qwen3.read_config(json.loads(json.dumps(qwen3.write_config(config)))) == config
    assert qwen3.read_config(qwen3.write_config(dataclasses.replace(config, tied=not config.tied))) != config


def test_module_names():
    assert hf.module_name("layers.attn.q") == "self_attn.q_proj"
    assert hf.module_name("layers.mlp.down") == "mlp.down_proj"
    assert hf.module_name("head") == "lm_head"
    assert hf.module_name("layers.attn.q_norm") is None
