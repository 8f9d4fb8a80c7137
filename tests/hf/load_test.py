"""Directories in: every layout that loads, and what is said of those that do not."""

import json
import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import random_qwen3
from flax import nnx
from random_qwen3 import SHAPES

from reeval import hf, sharding

SHAPE = "ratio4-untied-v5"
TIED = "ratio3-tied-v5"


def parameters(model):
    return {".".join(map(str, path)): v[...] for path, v in nnx.to_flat_state(nnx.state(model))}


def assert_holds(model, raw, held):
    """Each parameter holds what the file has, by shapes spelled out here."""
    D, N, K, H = (raw[n] for n in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"))
    layers = range(raw["num_hidden_layers"])

    def stack(name, change=lambda w: w):
        return np.stack([change(held[f"model.layers.{n}.{name}.weight"]) for n in layers])

    expected = {
        "embed.embedding": held["model.embed_tokens.weight"],
        "layers.attn_norm.scale": stack("input_layernorm"),
        "layers.attn.q.w": stack("self_attn.q_proj", lambda w: w.T.reshape(D, N, H)),
        "layers.attn.k.w": stack("self_attn.k_proj", lambda w: w.T.reshape(D, K, H)),
        "layers.attn.v.w": stack("self_attn.v_proj", lambda w: w.T.reshape(D, K, H)),
        "layers.attn.q_norm.scale": stack("self_attn.q_norm"),
        "layers.attn.k_norm.scale": stack("self_attn.k_norm"),
        "layers.attn.o.w": stack("self_attn.o_proj", lambda w: w.T.reshape(N, H, D)),
        "layers.mlp_norm.scale": stack("post_attention_layernorm"),
        "layers.mlp.gate.w": stack("mlp.gate_proj", np.transpose),
        "layers.mlp.up.w": stack("mlp.up_proj", np.transpose),
        "layers.mlp.down.w": stack("mlp.down_proj", np.transpose),
        "final_norm.scale": held["model.norm.weight"],
    }
    if not raw["tie_word_embeddings"]:
        expected["head.w"] = held["lm_head.weight"].T
    found = parameters(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name]), value, err_msg=name)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("files", [1, 3])
def test_every_parameter_holds_its_tensor(tmp_path, shape, files):
    raw, held = SHAPES[shape], random_qwen3.tensors(SHAPES[shape])
    model = hf.load_model(random_qwen3.write(tmp_path, raw, held, files=files))
    assert_holds(model, raw, held)


def test_files_without_an_index_load(tmp_path):
    raw, held = SHAPES[SHAPE], random_qwen3.tensors(SHAPES[SHAPE])
    random_qwen3.write(tmp_path, raw, held, files=3)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert_holds(hf.load_model(tmp_path), raw, held)


@pytest.mark.parametrize("mesh", [(2, 2, 2), (1, 4, 2), (1, 2, 4), (8, 1, 1)])
@pytest.mark.parametrize("shape", [SHAPE, TIED])
def test_on_a_mesh_each_device_gets_its_part(tmp_path, mesh, shape, monkeypatch):
    monkeypatch.setattr("reeval.hf.load._BLOCK_BYTES", 300)  # several blocks a tensor
    raw, held = SHAPES[shape], random_qwen3.tensors(SHAPES[shape])
    mesh = sharding.make_mesh(mesh)
    model = hf.load_model(random_qwen3.write(tmp_path, raw, held, files=2), mesh=mesh)
    assert_holds(model, raw, held)
    for _, variable in nnx.to_flat_state(nnx.state(model)):
        assert variable[...].sharding == sharding.place(mesh, variable.get_metadata("axes"), variable.shape)
    w = model.layers.mlp.up.w[...]
    parts = mesh.shape["fsdp"] * mesh.shape["tensor"]
    assert w.addressable_shards[0].data.size * (parts if raw["hidden_size"] % mesh.shape["fsdp"] == 0 else 1) == w.size


def test_a_part_is_read_without_the_rest(tmp_path, monkeypatch):
    """Two ways over the model dimension and four over heads and hidden units: eight reads, an eighth each."""
    raw, held = SHAPES[SHAPE], random_qwen3.tensors(SHAPES[SHAPE])
    random_qwen3.write(tmp_path, raw, held)
    seen = {}
    plain = hf.load.Weights.read

    def read(self, name, slices=()):
        part = plain(self, name, slices)
        seen.setdefault(name, []).append(part.size / held[name].size)
        return part

    monkeypatch.setattr(hf.load.Weights, "read", read)
    hf.load_model(tmp_path, mesh=sharding.make_mesh((1, 2, 4)))
    for name in ("self_attn.q_proj", "mlp.gate_proj", "mlp.down_proj"):
        assert seen[f"model.layers.1.{name}.weight"] == [1 / 8] * 8, name
    assert seen["model.layers.1.self_attn.k_proj.weight"] == [1 / 2] * 2  # 2 key heads do not divide by 4
    assert seen["model.norm.weight"] == [1]


@pytest.mark.parametrize("stored", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("asked", [None, "float32", jnp.bfloat16])
def test_dtype_is_the_files_or_the_one_asked_for(tmp_path, stored, asked):
    raw, held = SHAPES[SHAPE], random_qwen3.tensors(SHAPES[SHAPE])
    random_qwen3.write(tmp_path, raw, held, dtype=stored)
    expected = np.dtype(stored if asked is None else asked)
    model = hf.load_model(tmp_path, dtype=asked)
    rounded = {name: tensor.astype(stored).astype(expected) for name, tensor in held.items()}
    assert {leaf.dtype for leaf in parameters(model).values()} == {expected}
    assert_holds(model, raw, rounded)


def test_mixed_dtypes_get_one_that_holds_them_all(tmp_path):
    raw, held = SHAPES[SHAPE], random_qwen3.tensors(SHAPES[SHAPE])
    mixed = {name: t if "norm" in name else t.astype(ml_dtypes.bfloat16) for name, t in held.items()}
    random_qwen3.write(tmp_path, raw, mixed)
    from safetensors.numpy import save_file

    save_file(mixed, tmp_path / "model.safetensors")
    assert_holds(hf.load_model(tmp_path), raw, {name: t.astype(np.float32) for name, t in mixed.items()})


def test_parameters_may_be_donated(tmp_path):
    """On CPU they lie in memory that NumPy allocated, which a donated update must not write to twice."""
    model = hf.load_model(random_qwen3.checkpoint(tmp_path, SHAPE), mesh=sharding.make_mesh((8, 1, 1)))
    _, state = nnx.split(model)
    expected = jax.tree.map(lambda x: np.array(x) + 1, state)
    changed = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)(state)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, changed), expected)


def test_a_repeated_tied_head_is_tolerated_if_it_is_the_same(tmp_path):
    raw, held = SHAPES[TIED], random_qwen3.tensors(SHAPES[TIED])
    twice = held | {"lm_head.weight": held["model.embed_tokens.weight"].copy()}
    assert_holds(hf.load_model(random_qwen3.write(tmp_path, raw, twice)), raw, held)
    twice["lm_head.weight"][-1, -1] += 1
    random_qwen3.write(tmp_path, raw, twice)
    with pytest.raises(ValueError, match=r"ties lm_head.weight to model.embed_tokens.weight, but they differ"):
        hf.load_model(tmp_path)


def refused(directory, message):
    with pytest.raises(ValueError, match=message) as caught:
        hf.load_model(directory)
    text = str(caught.value)
    assert "\n" not in text
    assert str(directory) in text
    return text


def test_all_wrong_tensors_are_named_at_once(tmp_path):
    raw, held = SHAPES[SHAPE], random_qwen3.tensors(SHAPES[SHAPE])
    del held["model.layers.1.mlp.up_proj.weight"], held["model.norm.weight"]
    held["model.layers.0.self_attn.q_proj.bias"] = np.zeros(48, np.float32)
    held["model.layers.2.input_layernorm.weight"] = np.zeros(32, np.float32)
    held["lm_head.weight"] = held["lm_head.weight"].T.copy()
    text = refused(random_qwen3.write(tmp_path, raw, held, files=2), "not those of config.json")
    assert "missing model.layers.1.mlp.up_proj.weight, model.norm.weight;" in text
    assert "unexpected model.layers.0.self_attn.q_proj.bias, model.layers.2.input_layernorm.weight;" in text
    assert text.endswith("misshapen lm_head.weight [32, 68] instead of [68, 32]")


def test_not_a_directory(tmp_path):
    refused(tmp_path / "absent", "not a directory; give a local Hugging Face model directory")


def test_no_config(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "config.json").unlink()
    refused(tmp_path, "no config.json")


@pytest.mark.parametrize(("content", "message"), [("{", "not valid JSON"), ("[1]", "not a JSON object")])
def test_damaged_config(tmp_path, content, message):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "config.json").write_text(content)
    refused(tmp_path, message)


@pytest.mark.parametrize("model_type", ["llama", "qwen3_moe", None])
def test_other_model_types(tmp_path, model_type):
    random_qwen3.write(tmp_path, SHAPES[SHAPE] | {"model_type": model_type}, {})
    refused(tmp_path, f"model_type {model_type!r} is not supported; supported: qwen3")


def test_quantized(tmp_path):
    random_qwen3.write(tmp_path, SHAPES[SHAPE] | {"quantization_config": {"bits": 4}}, {})
    refused(tmp_path, "quantized weights are not supported")


def test_other_dtypes(tmp_path):
    held = random_qwen3.tensors(SHAPES[SHAPE])
    random_qwen3.write(tmp_path, SHAPES[SHAPE], held, dtype=np.int8)
    refused(tmp_path, "is I8; only BF16, F16, F32 are supported")


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_file(tmp_path, files, kept):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=files)
    file = sorted(tmp_path.glob("*.safetensors"))[0]
    file.write_bytes(file.read_bytes()[:kept])
    text = refused(tmp_path, r"damaged or truncated \(.*\); fetch it again")
    assert file.name in text


def test_no_weights(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "model.safetensors").unlink()
    refused(tmp_path, "no safetensors file; fetch model.safetensors")


def test_pickled_weights_are_refused(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    refused(tmp_path, "pickled weights, which can run code and are refused; convert to safetensors")


def test_missing_shard(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    refused(tmp_path, "names model-00002-of-00003.safetensors, not in the directory; fetch the rest")


@pytest.mark.parametrize("name", ["../stolen.safetensors", "/etc/passwd", "sub/model.safetensors", "model.bin"])
def test_index_that_leaves_the_directory(tmp_path, name):
    directory = random_qwen3.checkpoint(tmp_path / "in", SHAPE, files=2)
    (tmp_path / "stolen.safetensors").write_bytes((directory / "model-00001-of-00002.safetensors").read_bytes())
    index = directory / "model.safetensors.index.json"
    raw = json.loads(index.read_text())
    raw["weight_map"]["lm_head.weight"] = name
    index.write_text(json.dumps(raw))
    refused(directory, rf"names '{re.escape(name)}', which is no safetensors file of this directory; refused")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_damaged_index(tmp_path, content):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=2)
    (tmp_path / "model.safetensors.index.json").write_text(content)
    refused(tmp_path, "not an index of safetensors files")


def test_index_that_disagrees_with_the_files(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=2)
    index = tmp_path / "model.safetensors.index.json"
    raw = json.loads(index.read_text())
    raw["weight_map"]["model.norm.weight"], raw["weight_map"]["lm_head.weight"] = (
        sorted(set(raw["weight_map"].values()) - {raw["weight_map"]["model.norm.weight"]})[0],
        raw["weight_map"]["lm_head.weight"],
    )
    index.write_text(json.dumps(raw))
    refused(tmp_path, "model.norm.weight is not in .* as it says")


def test_a_tensor_in_two_files(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    (tmp_path / "model.safetensors").rename(tmp_path / "b.safetensors")
    refused(tmp_path, "is in a.safetensors too")
