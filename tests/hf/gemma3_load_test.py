"""Gemma 3 directories in: every spelling of the names, the decoder alone, and what is said of those that do not fit."""

import jax
import numpy as np
import pytest
import random_gemma3
from flax import nnx
from random_gemma3 import MODULES, MULTIMODAL, SHAPES, V4, V5, Spelling, tensors, write

from reeval import hf, sharding
from reeval.models import Gemma3, MedGemma

WHOLE, TEXT, UNTIED = "ratio4-v5", "text-ratio1-v4", "text-ratio4-untied-v5"
MIXED = Spelling(MODULES.decoder, V4.vision, V5.projector)
OLD_MODULES = Spelling(MODULES.decoder, "model.vision_tower.vision_model.", MODULES.projector)


def parameters(model):
    return {".".join(map(str, path)): np.asarray(v[...]) for path, v in nnx.to_flat_state(nnx.state(model))}


def assert_same(model, other):
    ours, theirs = parameters(model), parameters(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.parametrize("spelled", [V4, V5, MODULES, OLD_MODULES, MIXED], ids=lambda s: s.vision + s.decoder)
@pytest.mark.parametrize("shape", MULTIMODAL)
def test_one_model_in_every_spelling(tmp_path, shape, spelled):
    raw = SHAPES[shape]
    plain = hf.load_model(random_gemma3.checkpoint(tmp_path / "plain", shape))
    assert type(plain) is MedGemma
    assert_same(hf.load_model(write(tmp_path / "other", raw, tensors(raw, spelled=spelled), files=2)), plain)


@pytest.mark.parametrize("shape", [TEXT, UNTIED])
@pytest.mark.parametrize("decoder", ["language_model.model.", "model.language_model."])
def test_a_text_model_may_keep_the_names_of_a_whole_one(tmp_path, shape, decoder):
    raw = SHAPES[shape]
    plain = hf.load_model(random_gemma3.checkpoint(tmp_path / "plain", shape))
    assert type(plain) is Gemma3
    assert_same(hf.load_model(write(tmp_path / "other", raw, tensors(raw, spelled=Spelling(decoder)))), plain)


@pytest.mark.parametrize("shape", MULTIMODAL)
def test_without_images_what_sees_is_never_read(tmp_path, shape, monkeypatch):
    directory = random_gemma3.checkpoint(tmp_path, shape)
    whole = parameters(hf.load_model(directory))
    read, plain = [], hf.load.Weights.read

    def recording(self, name, slices=()):
        read.append(name)
        return plain(self, name, slices)

    monkeypatch.setattr(hf.load.Weights, "read", recording)
    alone = hf.load_model(directory, images=False)
    assert type(alone) is Gemma3
    assert not any("vision_tower" in name or "projector" in name for name in read) and len(set(read)) > 20
    for name, value in parameters(alone).items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)


@pytest.mark.parametrize("shape", [TEXT, UNTIED, "ratio2-v4"])
def test_on_a_mesh_each_device_gets_its_part(tmp_path, shape, monkeypatch):
    monkeypatch.setattr("reeval.hf.load._BLOCK_BYTES", 300)  # several blocks a tensor
    directory = random_gemma3.checkpoint(tmp_path, shape, files=3)
    mesh = sharding.make_mesh((2, 2, 2))
    model = hf.load_model(directory, mesh=mesh)
    for _, variable in nnx.to_flat_state(nnx.state(model)):
        assert variable[...].sharding == sharding.place(mesh, variable.get_metadata("axes"), variable.shape)
    assert_same(model, hf.load_model(directory))
    assert any(len({str(s.index) for s in x.addressable_shards}) == 4 for x in jax.tree.leaves(nnx.state(model)))


@pytest.mark.parametrize("head", ["lm_head.weight", "language_model.lm_head.weight"])
def test_a_repeated_tied_head_is_tolerated_if_it_is_the_same(tmp_path, head):
    raw, held = SHAPES[WHOLE], tensors(SHAPES[WHOLE])
    plain = hf.load_model(write(tmp_path / "plain", raw, held))
    held[head] = held["language_model.model.embed_tokens.weight"].copy()
    assert_same(hf.load_model(write(tmp_path / "twice", raw, held)), plain)
    held[head][-1, -1] += 1
    with pytest.raises(ValueError, match=rf"ties {head} to language_model\.model\.embed_tokens\.weight, but they diff"):
        hf.load_model(write(tmp_path / "other", raw, held))


def test_an_untied_head_of_a_whole_model_loads_under_either_name(tmp_path):
    raw = SHAPES[WHOLE] | {"tie_word_embeddings": False}
    head = np.random.default_rng(0).normal(size=(83, 24)).astype(np.float32)
    for n, name in enumerate(("lm_head.weight", "language_model.lm_head.weight")):
        model = hf.load_model(write(tmp_path / str(n), raw, tensors(raw) | {name: head}))
        np.testing.assert_array_equal(np.asarray(model.head.w[...]), head.T)


def test_a_pooling_head_that_the_config_does_not_name_is_tolerated_too(tmp_path):
    raw, held = SHAPES[WHOLE], tensors(SHAPES[WHOLE])
    silent = raw | {"vision_config": raw["vision_config"] | {"vision_use_head": False}}
    without = {name: tensor for name, tensor in held.items() if ".head." not in name}
    assert len(without) < len(held)
    with_it = hf.load_model(write(tmp_path / "silent", silent, held))
    assert_same(with_it, hf.load_model(write(tmp_path / "without", raw, without)))


@pytest.mark.parametrize("spelled", [V4, V5, MODULES])
@pytest.mark.parametrize("images", [True, False])
def test_all_wrong_tensors_are_named_at_once_as_the_files_spell_them(tmp_path, spelled, images):
    raw = SHAPES["ratio2-v4"]
    held = tensors(raw, spelled=spelled)
    missing = [
        f"{spelled.decoder}layers.1.post_feedforward_layernorm.weight",
        f"{spelled.vision}encoder.layers.1.mlp.fc1.bias",
        f"{spelled.projector}mm_soft_emb_norm.weight",
    ]
    for name in missing:
        del held[name]
    held[f"{spelled.vision}embeddings.position_embedding.weight"] = np.zeros((25, 20), np.float32)
    held[f"{spelled.decoder}layers.0.self_attn.q_proj.bias"] = np.zeros(64, np.float32)
    with pytest.raises(ValueError, match="the tensors are not those of config.json: missing ") as caught:
        hf.load_model(write(tmp_path, raw, held), images=images)
    text = str(caught.value)
    assert "\n" not in text
    for name in missing:
        assert name in text.split("unexpected")[0]
    assert f"unexpected {spelled.decoder}layers.0.self_attn.q_proj.bias" in text
    assert f"misshapen {spelled.vision}embeddings.position_embedding.weight [25, 20] instead of [16, 20]" in text
