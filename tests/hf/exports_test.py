"""Directories out: what transformers, PEFT and we read back, and that they appear whole or not at all."""

import contextlib
import importlib
import json
import os
import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import random_gemma3
import random_qwen3
from families import SHAPES as MADE_BY
from families import SMALL
from flax import nnx
from model_runs import jitted
from random_qwen3 import SHAPES, relative
from safetensors.numpy import load_file

from reeval import hf, lora

TOLERANCE = 2e-5
SHAPE = "ratio4-untied-v5"
LORA = lora.LoRAConfig(rank=3, alpha=7.0)


def adapted(directory, config=LORA, *, seed=3, mesh=None):
    """The model of a directory with an adapter that does something, and the adapter by path."""
    model = hf.load_model(directory, mesh=mesh)
    lora.add(model, config, hf.module_name, rngs=nnx.Rngs(seed))
    noise = np.random.default_rng(seed)
    for _, einsum in lora.projections(model):
        if einsum.lora is not None:
            einsum.lora.b[...] = jnp.asarray(noise.normal(size=einsum.lora.b.shape) * 0.2, jnp.float32)
    return model, lora.take_apart(model)[1]


def all_tensors(directory):
    return {name: t for file in directory.glob("model*.safetensors") for name, t in load_file(file).items()}


def greedy(model, ids, new):
    """By full forward passes over a fixed length: slow and simple."""
    graph, state = nnx.split(model)
    forward = jax.jit(lambda state, ids: nnx.merge(graph, state)(ids))
    ids, at = np.pad(ids, ((0, 0), (0, new))), ids.shape[1]
    for n in range(at, at + new):
        ids[:, n] = np.asarray(forward(state, jnp.asarray(ids)))[:, n - 1].argmax(-1)
    return ids[:, at:]


@pytest.fixture(autouse=True)
def one_thread():
    """On these shapes more threads of torch only wait for each other."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torch").set_num_threads(1)


EVERYTHING = lora.LoRAConfig(rank=3, alpha=1.0, targets=r".*")


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        (SHAPE, EVERYTHING),
        ("ratio3-tied-v5", lora.LoRAConfig(rank=4, alpha=2.0, rslora=True, targets=r"self_attn\.[qo]_proj")),
        ("text-ratio4-untied-v5", EVERYTHING),
        ("ratio2-v4", EVERYTHING),
        ("ratio4-v5", lora.LoRAConfig(rank=4, alpha=2.0, rslora=True, targets=r"self_attn\.[qo]_proj")),
    ],
)
def test_exports_loaded_by_transformers_and_peft(tmp_path, shape, config):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    made_by = MADE_BY[shape]
    base = made_by.checkpoint(tmp_path / "base", shape)
    model, adapter = adapted(base, config)
    hf.save_merged(tmp_path / "merged", base, adapter, config, max_shard_bytes=20_000)
    hf.save_adapter(tmp_path / "adapter", base, adapter, config)
    ids = made_by.tokens(made_by.SHAPES[shape], 2, 21)
    applied, plain = jitted(model)(ids), jitted(hf.load_model(base))(ids)
    assert relative(plain, applied) > 0.01, "the adapter does nothing"
    ours = greedy(model, ids, 24)

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="float32").eval()
    bare = AutoModelForCausalLM.from_pretrained(base, dtype="float32").eval()
    with_adapter = peft.PeftModel.from_pretrained(bare, tmp_path / "adapter").eval()
    for theirs in (merged, with_adapter):
        with torch.no_grad():
            assert relative(theirs(torch.tensor(ids)).logits.numpy(), applied) < TOLERANCE
        made = theirs.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.ones(ids.shape, dtype=torch.int64),
            do_sample=False,
            max_new_tokens=24,
            min_new_tokens=24,
            pad_token_id=0,
        )
        assert made[:, ids.shape[1] :].tolist() == ours.tolist()


@pytest.mark.parametrize("shape", [SHAPE, "ratio3-tied-v5", "text-ratio1-v4", *random_gemma3.MULTIMODAL])
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 30_000), (ml_dtypes.bfloat16, 10**9)])
def test_a_merged_directory_reads_back_as_the_merged_model(tmp_path, shape, dtype, limit):
    base = MADE_BY[shape].checkpoint(tmp_path / "base", shape, dtype=dtype, files=2)
    config = lora.LoRAConfig(rank=3, alpha=7.0, targets=r"self_attn\.(q|o)_proj|mlp\.(up|down)_proj")
    model, adapter = adapted(base, config)
    hf.save_merged(tmp_path / "out", base, adapter, config, max_shard_bytes=limit)
    assert (tmp_path / "out/config.json").read_bytes() == (base / "config.json").read_bytes()

    before, after = all_tensors(base), all_tensors(tmp_path / "out")
    assert after.keys() == before.keys()
    # Of the decoder: in the vision tower is a q_proj too.
    touched = {name for name in before if re.search(r"(?<!encoder\.)layers\.\d+\.\w+\.(q|o|up|down)_proj\.", name)}
    assert len(touched) == 4 * model.config.num_layers
    for name in before:
        assert after[name].dtype == before[name].dtype
        assert (after[name].tobytes() == before[name].tobytes()) == (name not in touched), name

    lora.merge(model)
    reloaded = hf.load_model(tmp_path / "out")
    for (path, ours), (_, theirs) in zip(*(nnx.to_flat_state(nnx.state(m)) for m in (model, reloaded)), strict=True):
        # Both sum in float32, in an order of their own: the last bit may differ.
        step = 1e-6 if dtype == np.float32 else 2**-8
        np.testing.assert_allclose(*(np.asarray(v[...], np.float32) for v in (ours, theirs)), rtol=step, atol=1e-6)
        assert np.mean(np.asarray(ours[...] != theirs[...])) < (1 if dtype == np.float32 else 1e-3), path


def test_files_are_as_large_as_asked_and_the_index_is_right(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    hf.save_merged(tmp_path / "out", base, max_shard_bytes=30_000)
    files = sorted(tmp_path.glob("out/model-*.safetensors"))
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert [file.name for file in files] == [
        f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)
    ]
    assert len(files) > 2
    held = {file.name: load_file(file) for file in files}
    assert all(sum(t.nbytes for t in tensors.values()) <= 30_000 for tensors in held.values())
    assert index["weight_map"] == {name: file for file, tensors in held.items() for name in tensors}
    assert index["metadata"]["total_size"] == sum(t.nbytes for ts in held.values() for t in ts.values())
    assert not (tmp_path / "out/model.safetensors").exists()

    hf.save_merged(tmp_path / "one", base)
    assert [file.name for file in tmp_path.glob("one/*safetensors*")] == ["model.safetensors"]
    hf.save_merged(tmp_path / "each", base, max_shard_bytes=1)
    assert len(list(tmp_path.glob("each/*.safetensors"))) == len(all_tensors(base))


def test_config_tokenizer_and_licence_come_along_and_decoding_is_greedy(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    (base / "config.json").write_text(json.dumps(SHAPES[SHAPE] | {"eos_token_id": 5}, indent=7))
    sampled = {"do_sample": True, "temperature": 0.6, "top_k": 20, "eos_token_id": [5, 6], "pad_token_id": 0}
    (base / "generation_config.json").write_text(json.dumps(sampled))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "LICENSE", "merges.txt"):
        (base / name).write_text(name)
    (base / "README.md").write_text("of the base")
    (base / "run.py").write_text("not to be copied")
    hf.save_merged(tmp_path / "out", base, card="of the judge")
    out = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir() if file.suffix != ".safetensors"}
    generation = json.loads(out.pop("generation_config.json"))
    assert generation == {"do_sample": False, "eos_token_id": [5, 6], "pad_token_id": 0}
    assert out.pop("README.md") == b"of the judge"
    kept = (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "LICENSE",
        "merges.txt",
    )
    assert out == {name: (base / name).read_bytes() for name in kept}

    (base / "generation_config.json").unlink()
    hf.save_merged(tmp_path / "plain", base)
    assert json.loads((tmp_path / "plain/generation_config.json").read_text()) == {
        "do_sample": False,
        "eos_token_id": 5,
    }


def test_the_special_tokens_of_a_multimodal_model_may_stand_with_its_decoder(tmp_path):
    base = random_gemma3.checkpoint(tmp_path / "base", "ratio4-v5")
    raw = json.loads((base / "config.json").read_text())
    raw["text_config"] |= {"eos_token_id": [1, 7], "bos_token_id": 2}
    (base / "config.json").write_text(json.dumps(raw))
    hf.save_merged(tmp_path / "out", base)
    generation = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert generation == {"do_sample": False, "eos_token_id": [1, 7], "bos_token_id": 2}


# A multimodal one is written as transformers 4 does, which 5 reads too, and without a head that it does not call.
SAVED = {
    SHAPE: random_qwen3.tensors(SHAPES[SHAPE]),
    SMALL["gemma3"]: random_gemma3.tensors(random_gemma3.SHAPES[SMALL["gemma3"]]),
    "ratio4-v5": {
        name: tensor
        for name, tensor in random_gemma3.tensors(random_gemma3.SHAPES["ratio4-v5"], spelled=random_gemma3.V4).items()
        if ".head." not in name
    },
}


@pytest.mark.parametrize("shape", SAVED)
def test_a_model_made_here_is_saved_with_its_tokenizer(tmp_path, small_tokenizer, shape):
    model = hf.load_model(MADE_BY[shape].checkpoint(tmp_path / "base", shape), dtype="bfloat16")
    hf.save_model(tmp_path / "out", model, small_tokenizer, card="card", max_shard_bytes=50_000)
    reloaded = hf.load_model(tmp_path / "out")
    assert reloaded.config == model.config
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(np.asarray, nnx.state(m)) for m in (model, reloaded)))
    assert hf.load_tokenizer(tmp_path / "out").get_vocab() == small_tokenizer.get_vocab()
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["eos_token_id"] == small_tokenizer.eos_token_id
    assert config["dtype"] == "bfloat16"
    original = {name: t.astype(ml_dtypes.bfloat16) for name, t in SAVED[shape].items()}
    written = all_tensors(tmp_path / "out")
    assert written.keys() == original.keys()
    assert all(np.array_equal(written[name], original[name]) for name in original)

    lora.add(model, LORA, hf.module_name, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="merge them first"):
        hf.save_model(tmp_path / "again", model, small_tokenizer)
    vocabulary = model.config.vocab_size
    small_tokenizer.add_tokens([f"word{n}" for n in range(vocabulary)])
    with pytest.raises(ValueError, match=f"more than the model's vocabulary of {vocabulary}"):
        hf.save_model(tmp_path / "again", reloaded, small_tokenizer)


@pytest.mark.parametrize("shape", ["ratio3-tied-v5", "text-ratio4-untied-v5", "ratio4-v5"])
def test_transformers_reads_a_model_made_here(tmp_path, small_tokenizer, shape):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    made_by = MADE_BY[shape]
    model = hf.load_model(made_by.checkpoint(tmp_path / "base", shape))
    hf.save_model(tmp_path / "out", model, small_tokenizer)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert theirs.dtype == torch.float32
    ids = made_by.tokens(made_by.SHAPES[shape], 2, 21)
    with torch.no_grad():
        assert relative(theirs(torch.tensor(ids)).logits.numpy(), jitted(model)(ids)) < TOLERANCE


@pytest.mark.parametrize("shape", random_gemma3.MULTIMODAL)
@pytest.mark.parametrize("merged", [True, False])
def test_what_is_exported_sees_as_the_base_does(tmp_path, small_tokenizer, shape, merged):
    """Merged, or a model made here and saved: transformers' logits of text with images, and no weight made up."""
    torch = pytest.importorskip("torch")
    from transformers import Gemma3ForConditionalGeneration

    raw = random_gemma3.SHAPES[shape]
    base = random_gemma3.checkpoint(tmp_path / "base", shape)
    if merged:
        model, adapter = adapted(base)
        hf.save_merged(tmp_path / "out", base, adapter, LORA)
    else:
        model = hf.load_model(base)
        hf.save_model(tmp_path / "out", model, small_tokenizer)
    theirs, found = Gemma3ForConditionalGeneration.from_pretrained(
        tmp_path / "out", dtype="float32", output_loading_info=True
    )
    assert not any(found.values()), found
    ids, images = random_gemma3.with_images(raw, [2], 47), random_gemma3.pixels(raw, 1, 2)
    with torch.no_grad():
        reference = theirs.eval()(
            input_ids=torch.tensor(ids),
            attention_mask=torch.ones(ids.shape, dtype=torch.int64),
            token_type_ids=torch.tensor((ids == raw["image_token_index"]).astype(np.int64)),
            pixel_values=torch.tensor(images[0]),
        )
    assert relative(jitted(model)(ids, images=images), reference.logits.numpy()) < TOLERANCE


# Whole or not at all.


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    plain, count = hf.weights.Weights.read, []

    def read(self, name, slices=()):
        count.append(name)
        if len(count) == 9:
            raise OSError("no space left on device")
        return plain(self, name, slices)

    monkeypatch.setattr(hf.weights.Weights, "read", read)
    with pytest.raises(OSError, match="no space"):
        hf.save_merged(tmp_path / "new" / "out", base)
    assert list((tmp_path / "new").iterdir()) == []

    monkeypatch.undo()
    hf.save_merged(tmp_path / "out", base)
    held = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    count.clear()
    monkeypatch.setattr(hf.weights.Weights, "read", read)
    with pytest.raises(OSError, match="no space"):
        hf.save_merged(tmp_path / "out", base, overwrite=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == held
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "new", "out"]


def test_what_is_there_is_kept_unless_asked(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    out = tmp_path / "out"
    out.mkdir()
    hf.save_merged(out, base)  # empty: fine
    (out / "note").write_text("mine")
    with pytest.raises(ValueError, match="not empty; give another directory or empty this one"):
        hf.save_merged(out, base)
    hf.save_merged(out, base, overwrite=True)
    assert not (out / "note").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    home = tmp_path / "home"
    home.mkdir()
    (home / "letters").write_text("dear")
    with pytest.raises(ValueError, match="not a model directory; it is not overwritten"):
        hf.save_merged(home, base, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        hf.save_merged(home / "letters", base)
    with pytest.raises(ValueError, match="base model's own directory"):
        hf.save_merged(tmp_path / "x" / ".." / "base", base, overwrite=True)


def test_the_directory_has_the_usual_permissions(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    hf.save_merged(tmp_path / "out", base)
    (tmp_path / "usual").mkdir()
    assert os.stat(tmp_path / "out").st_mode == os.stat(tmp_path / "usual").st_mode


def test_damaged_base_leaves_nothing(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    file = base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged or truncated"):
        hf.save_merged(tmp_path / "out", base)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
