"""Adapters in and out: PEFT's logits with what PEFT made, in PEFT with what we made, and one line for the rest."""

import contextlib
import importlib
import json
import random

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import random_gemma3
from families import SHAPES
from flax import nnx
from model_runs import jitted
from random_gemma3 import MULTIMODAL, relative
from safetensors.numpy import load_file, save_file

from reeval import hf, lora, sharding

TOLERANCE = 2e-5  # of the largest logit, in float32
QWEN, TIED, GEMMA = "ratio4-untied-v5", "ratio3-tied-v5", "text-ratio4-untied-v5"
LORA = lora.LoRAConfig(rank=3, alpha=7.0)
# With PEFT's default targets, so that ours say them too.
PLAIN = {"r": 5, "lora_alpha": 3, "target_modules": ["q_proj", "v_proj"]}

# What PEFT can be told, on a decoder of at least two layers. Patterns and regexes fit all spellings of names.
SETTINGS = {
    "list": {"target_modules": ["q_proj", "down_proj"]},
    "regex": {"target_modules": r".*layers\.[1-9]\.(self_attn\.[ko]_proj|mlp\..*_proj)", "use_rslora": True},
    "full-names": {
        "target_modules": ["model.layers.0.self_attn.k_proj", "mlp.gate_proj"],
        "layers_to_transform": [1],  # which full names need not heed
    },
    "default-targets": {"target_modules": None},
    "all-linear": {"target_modules": "all-linear", "exclude_modules": ["k_proj", "mlp.up_proj"]},
    "excluded-by-regex": {"target_modules": ["q_proj", "up_proj"], "exclude_modules": r".*\.0\.(mlp|self_attn)\..*"},
    "one-layer": {"target_modules": ["o_proj"], "layers_to_transform": 1},
    "some-layers": {"target_modules": ["o_proj", "up_proj"], "layers_to_transform": [0, 7], "layers_pattern": "layers"},
    "patterns": {
        "target_modules": ["q_proj", "v_proj", "up_proj"],
        "rank_pattern": {"q_proj": 7, r"layers\.1\.mlp\.up_proj": 2, "up_proj": 3},
        "alpha_pattern": {r"^(base\.)?model\..*0\.self_attn\.q_proj": 20, "v_proj": 0.25},
    },
    "rslora-patterns": {
        "target_modules": ["q_proj", "k_proj", "down_proj"],
        "use_rslora": True,
        "rank_pattern": {r".*\.1\..*": 8, ".*_proj": 3},
        "alpha_pattern": {"[qk]_proj": 9},
    },
    "smaller-than-said": {"target_modules": ["v_proj"], "rank_pattern": {"v_proj": 2}, "r": 9},
    "alpha-of-zero": {"target_modules": ["v_proj", "k_proj"], "lora_alpha": 0, "alpha_pattern": {"k_proj": 4}},
}


@pytest.fixture(autouse=True)
def one_thread():
    """On these shapes more threads of torch only wait for each other."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torch").set_num_threads(1)


def checkpoint(directory, shape):
    return SHAPES[shape].checkpoint(directory, shape)


def bare(base):
    """The transformers model of a directory."""
    pytest.importorskip("torch")
    import transformers

    (name,) = json.loads((base / "config.json").read_text())["architectures"]
    return getattr(transformers, name).from_pretrained(base, dtype="float32").eval()


def trained(directory, base, **settings):
    """PEFT's model of a base with an adapter of noise, which is saved too."""
    peft = pytest.importorskip("peft")
    import torch

    torch.manual_seed(0)
    config = peft.LoraConfig(**PLAIN | settings, init_lora_weights=False, task_type="CAUSAL_LM")
    theirs = peft.get_peft_model(bare(base), config).eval()
    theirs.save_pretrained(directory)
    return theirs


def saved(directory, base):
    """PEFT's model of a base with the adapter of a directory."""
    peft = pytest.importorskip("peft")
    return peft.PeftModel.from_pretrained(bare(base), directory).eval()


def their_logits(theirs, ids, raw=None, images=None):
    import torch

    inputs = {"input_ids": torch.tensor(ids)}
    if images is not None:
        is_image = ids == raw["image_token_index"]
        counts = is_image.sum(1) // raw["mm_tokens_per_image"]
        seen = np.concatenate([row[:n] for row, n in zip(images, counts, strict=True)])
        inputs |= {"pixel_values": torch.tensor(seen), "token_type_ids": torch.tensor(is_image.astype(np.int64))}
    with torch.no_grad():
        return theirs(**inputs).logits.numpy()


def described(directory, **fields):
    """Change fields of a directory's adapter_config.json."""
    file = directory / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def renamed(directory, *replacements):
    """Spell a directory's tensors otherwise."""
    file = directory / "adapter_model.safetensors"
    tensors = load_file(file)
    for old, new in replacements:
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    save_file(tensors, file, metadata={"format": "pt"})


def changed(directory, change):
    """Change a directory's tensors, a dict by name."""
    file = directory / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def adapted(base, config=LORA, seed=3):
    """The model of a directory with an adapter that does something, and the adapter by path."""
    model = hf.load_model(base)
    lora.add(model, config, hf.module_name, rngs=nnx.Rngs(seed))
    noise = np.random.default_rng(seed)
    for _, einsum in lora.projections(model):
        if einsum.lora is not None:
            einsum.lora.b[...] = jnp.asarray(noise.normal(size=einsum.lora.b.shape) * 0.2, jnp.float32)
    return model, lora.take_apart(model)[1]


# What PEFT made.


@pytest.mark.parametrize(
    ("shape", "settings"),
    [*((QWEN, name) for name in SETTINGS), *((GEMMA, name) for name in ("all-linear", "some-layers", "patterns"))],
)
def test_an_adapter_made_by_peft_gives_its_logits_here_and_when_saved_again(tmp_path, shape, settings):
    base = checkpoint(tmp_path / "base", shape)
    theirs = trained(tmp_path / "theirs", base, **SETTINGS[settings])
    raw = SHAPES[shape].SHAPES[shape]
    ids = SHAPES[shape].tokens(raw, 2, 21)
    expected = their_logits(theirs, ids)

    model = hf.load_model(base)
    plain = jitted(model)(ids)
    config = hf.load_adapter(tmp_path / "theirs", model)
    assert relative(plain, expected) > 0.002, "the adapter does nothing"
    assert relative(jitted(model)(ids), expected) < TOLERANCE

    hf.save_adapter(tmp_path / "ours", base, lora.take_apart(model)[1], config)
    assert relative(their_logits(saved(tmp_path / "ours", base), ids), expected) < TOLERANCE
    again = hf.load_model(base)
    assert hf.load_adapter(tmp_path / "ours", again) == config
    assert jax.tree.all(jax.tree.map(np.array_equal, *(lora.take_apart(m)[1] for m in (model, again))))


def test_a_plain_adapter_is_read_bit_for_bit_and_its_config_is_the_files(tmp_path):
    base = checkpoint(tmp_path / "base", QWEN)
    trained(tmp_path / "theirs", base, use_rslora=True, lora_dropout=0.25)
    model = hf.load_model(base)
    config = hf.load_adapter(tmp_path / "theirs", model)
    assert (config.rank, config.alpha, config.rslora, config.dropout) == (5, 3.0, True, 0.25)
    assert {path for path, einsum in lora.projections(model) if einsum.lora} == {"layers.attn.q", "layers.attn.v"}
    hf.save_adapter(tmp_path / "ours", base, lora.take_apart(model)[1], config)
    files = [load_file(tmp_path / name / "adapter_model.safetensors") for name in ("theirs", "ours")]
    assert files[0].keys() == files[1].keys()
    assert all(np.array_equal(files[0][name], files[1][name]) for name in files[0])


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_adapters_in_half_precision_are_read_as_float32(tmp_path, dtype):
    base = checkpoint(tmp_path / "base", QWEN)
    trained(tmp_path / "theirs", base)
    changed(tmp_path / "theirs", lambda t: t.update({name: tensor.astype(dtype) for name, tensor in t.items()}))
    model = hf.load_model(base)
    hf.load_adapter(tmp_path / "theirs", model)
    held = load_file(tmp_path / "theirs/adapter_model.safetensors")
    b = dict(lora.projections(model))["layers.attn.v"].lora.b[...]
    assert b.dtype == jnp.float32
    their_b = held["base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"]
    np.testing.assert_array_equal(np.asarray(b[1]).reshape(5, -1).T, their_b.astype(np.float32))


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_peft_saves_the_head_beside_an_adapter_of_it(tmp_path):
    base = checkpoint(tmp_path / "base", QWEN)
    theirs = trained(tmp_path / "theirs", base, target_modules=["lm_head", "q_proj"])
    ids = SHAPES[QWEN].tokens(SHAPES[QWEN].SHAPES[QWEN], 2, 21)
    model = hf.load_model(base)
    hf.load_adapter(tmp_path / "theirs", model)
    assert relative(jitted(model)(ids), their_logits(theirs, ids)) < TOLERANCE
    hf.load_adapter(tmp_path / "theirs", hf.load_model(base, dtype="bfloat16"))

    changed(tmp_path / "theirs", lambda t: t["base_model.model.lm_head.base_layer.weight"].__iadd__(0.1))
    with pytest.raises(ValueError, match="holds another lm_head than the model's"):
        hf.load_adapter(tmp_path / "theirs", hf.load_model(base))


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`|Model has `tie_word_embeddings=True`")
def test_adapters_of_the_embedding_and_of_a_tied_head_are_refused(tmp_path):
    tied = checkpoint(tmp_path / "tied", TIED)
    trained(tmp_path / "embedding", tied, target_modules=["embed_tokens", "q_proj"])
    with pytest.raises(ValueError, match=r"adapter of an embedding is not supported: model.embed_tokens$"):
        hf.load_adapter(tmp_path / "embedding", hf.load_model(tied))
    trained(tmp_path / "head", tied, target_modules=["lm_head", "q_proj"])
    with pytest.raises(ValueError, match="lm_head, which in this model is the embedding"):
        hf.load_adapter(tmp_path / "head", hf.load_model(tied))


# Gemma 3 with its vision tower.

OLDER = [
    ("model.model.language_model.", "model.language_model.model."),
    ("model.model.vision_tower.", "model.vision_tower.vision_model."),
]
BETWEEN = [("vision_tower.", "vision_tower.vision_model.")]
WITH_TOWER = {
    "list": ("ratio4-v5", BETWEEN, {"target_modules": ["q_proj", "down_proj", "fc1", "out_proj"]}),
    "patterns": (
        "ratio2-v4",
        OLDER,
        SETTINGS["rslora-patterns"] | {"rank_pattern": {r".*vision_tower.*": 11, "k_proj": 2}},
    ),
    "all-linear": ("ratio2-v4", [], {"target_modules": "all-linear"}),
    # As some converters leave it: tensors in the older spelling, and a config that names modules in the new one.
    "full-names": (
        "ratio1-modules",
        OLDER,
        {"target_modules": ["model.language_model.layers.2.self_attn.v_proj", "fc1"]},
    ),
    "layers": ("ratio4-v5", [], {"target_modules": ["v_proj", "fc2"], "layers_to_transform": [0]}),
    "decoder-alone": ("ratio2-v4", OLDER, {"target_modules": r".*language_model.*\.[qk]_proj"}),
}


@pytest.mark.parametrize(("shape", "respelled", "settings"), WITH_TOWER.values(), ids=WITH_TOWER)
def test_an_adapter_of_a_multimodal_model_gives_pefts_logits(tmp_path, shape, respelled, settings):
    base, raw = checkpoint(tmp_path / "base", shape), random_gemma3.SHAPES[shape]
    theirs = trained(tmp_path / "theirs", base, **settings)
    renamed(tmp_path / "theirs", *respelled)
    ids, images = random_gemma3.with_images(raw, [2, 1], 47), random_gemma3.pixels(raw, 2, 2)
    text = random_gemma3.tokens(raw, 2, 21)
    seeing, reading = their_logits(theirs, ids, raw, images), their_logits(theirs, text)

    model = hf.load_model(base)
    plain = jitted(model)(ids, images=images)
    config = hf.load_adapter(tmp_path / "theirs", model)
    assert relative(plain, seeing) > 0.002, "the adapter does nothing"
    assert relative(jitted(model)(ids, images=images), seeing) < TOLERANCE
    decoder = hf.load_model(base, images=False)
    assert hf.load_adapter(tmp_path / "theirs", decoder) == config
    assert relative(jitted(decoder)(text), reading) < TOLERANCE

    # Of what comes out again the tower is no part.
    hf.save_adapter(tmp_path / "ours", base, lora.take_apart(model)[1], config)
    again = saved(tmp_path / "ours", base)
    assert relative(their_logits(again, text), reading) < TOLERANCE
    assert not any("vision_tower" in name and "lora_" in name for name, _ in again.named_modules())


@pytest.mark.parametrize("shape", MULTIMODAL)
def test_what_we_save_for_a_multimodal_base_adapts_the_decoder_alone_in_peft(tmp_path, shape):
    base, raw = checkpoint(tmp_path / "base", shape), random_gemma3.SHAPES[shape]
    config = lora.LoRAConfig(rank=3, alpha=7.0, targets=r"self_attn\.[qk]_proj|mlp\.up_proj")
    model, adapter = adapted(base, config)
    hf.save_adapter(tmp_path / "ours", base, adapter, config)
    ids, images = random_gemma3.with_images(raw, [2, 1], 47), random_gemma3.pixels(raw, 2, 2)
    with_adapter = saved(tmp_path / "ours", base)
    assert relative(their_logits(with_adapter, ids, raw, images), jitted(model)(ids, images=images)) < TOLERANCE
    targets = json.loads((tmp_path / "ours/adapter_config.json").read_text())["target_modules"]
    import torch
    from peft.tuners.tuners_utils import check_target_module_exists

    linear = [name for name, m in bare(base).named_modules() if isinstance(m, torch.nn.Linear)]
    older = [name.replace("model.language_model.", "language_model.model.") for name in linear]
    older = [name.replace("model.vision_tower.", "vision_tower.vision_model.") for name in older]
    for names in (linear, older):
        chosen = {name for name in names if check_target_module_exists(with_adapter.peft_config["default"], name)}
        assert chosen == {n for n in names if "language_model" in n and n.endswith(("q_proj", "k_proj", "up_proj"))}
    assert isinstance(targets, str)
    found = load_file(tmp_path / "ours/adapter_model.safetensors")
    assert all(name.startswith("base_model.model.model.language_model.layers.") for name in found)


def test_an_adapter_of_a_decoder_alone_loads_where_the_tower_is_and_back(tmp_path):
    """As text-only Gemma 3 directories name it, and the targets in a list, which the tower's modules match."""
    base = checkpoint(tmp_path / "base", "ratio2-v4")
    trained(tmp_path / "theirs", base, target_modules=r".*language_model.*\.[qv]_proj")
    expected = hf.load_model(base)
    hf.load_adapter(tmp_path / "theirs", expected)
    renamed(tmp_path / "theirs", ("model.model.language_model.", "model.model."))
    described(tmp_path / "theirs", target_modules=["v_proj", "q_proj"])
    for images in (True, False):
        model = hf.load_model(base, images=images)
        hf.load_adapter(tmp_path / "theirs", model)
        assert jax.tree.all(jax.tree.map(np.array_equal, *(lora.take_apart(m)[1] for m in (model, expected))))


def test_the_tower_is_as_peft_merges_it_and_lies_where_it_lay(tmp_path):
    base = checkpoint(tmp_path / "base", "ratio2-v4")
    theirs = trained(tmp_path / "theirs", base, target_modules=["q_proj", "fc1"])
    merged = theirs.merge_and_unload().state_dict()
    model = hf.load_model(base, dtype="bfloat16", mesh=sharding.make_mesh((2, 2, 2)))
    before = jax.tree.map(lambda x: x.sharding, nnx.state(model.vision))
    hf.load_adapter(tmp_path / "theirs", model)
    assert jax.tree.map(lambda x: x.sharding, nnx.state(model.vision)) == before
    got = np.asarray(model.vision.layers.up.w[...])
    assert got.dtype == ml_dtypes.bfloat16
    expected = merged["model.vision_tower.encoder.layers.1.mlp.fc1.weight"].numpy().T
    # Rounded before and after the sum.
    np.testing.assert_allclose(got[1].astype(np.float32), expected, rtol=2**-7, atol=2**-7)


def test_an_adapter_of_the_tower_alone_is_refused(tmp_path):
    base = checkpoint(tmp_path / "base", "ratio2-v4")
    trained(tmp_path / "theirs", base, target_modules=["fc1"])
    before = jax.tree.map(np.asarray, nnx.state(model := hf.load_model(base)))
    with pytest.raises(ValueError, match="adapts no linear layer of the language model"):
        hf.load_adapter(tmp_path / "theirs", model)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, nnx.state(model)))


# What we made.


@pytest.mark.parametrize("mesh", [None, (2, 2, 2)])
@pytest.mark.parametrize(
    "config", [LORA, lora.LoRAConfig(rank=2, alpha=0.5, rslora=True, dropout=0.1, targets=r"mlp\.down_proj|lm_head")]
)
def test_an_adapter_reads_back(tmp_path, config, mesh):
    base = checkpoint(tmp_path / "base", QWEN)
    _, adapter = adapted(base, config)
    hf.save_adapter(tmp_path / "out", base, adapter, config, base_name="owner/model", card="card")
    model = hf.load_model(base, mesh=mesh and sharding.make_mesh(mesh))
    found = hf.load_adapter(tmp_path / "out", model)
    settings = [(c.rank, c.alpha, c.rslora, c.dropout) for c in (found, config)]
    assert settings[0] == settings[1]
    _, again, base_state = lora.take_apart(model)
    assert again.keys() == adapter.keys()
    for name, leaf in again.items():
        np.testing.assert_array_equal(np.asarray(leaf), np.asarray(adapter[name]), err_msg=name)
        if mesh is not None:
            assert leaf.sharding.mesh == jax.tree.leaves(base_state)[0].sharding.mesh
    assert (tmp_path / "out/README.md").read_text() == "card"
    written = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "owner/model"


def test_peft_names_shapes_and_dtype(tmp_path):
    base = SHAPES[QWEN].checkpoint(tmp_path / "base", QWEN, dtype=ml_dtypes.bfloat16)
    config = lora.LoRAConfig(rank=3, targets=r"self_attn\.[ko]_proj")
    _, adapter = adapted(base, config)
    hf.save_adapter(tmp_path / "out", base, adapter, config)
    found = load_file(tmp_path / "out/adapter_model.safetensors")
    layer = "base_model.model.model.layers.1.self_attn"
    assert {name: t.shape for name, t in found.items() if ".layers.1." in name} == {
        f"{layer}.k_proj.lora_A.weight": (3, 32),
        f"{layer}.k_proj.lora_B.weight": (12, 3),
        f"{layer}.o_proj.lora_A.weight": (3, 48),
        f"{layer}.o_proj.lora_B.weight": (32, 3),
    }
    assert {t.dtype for t in found.values()} == {np.dtype("float32")}
    written = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert written["target_modules"] == ["k_proj", "o_proj"]
    assert (written["r"], written["lora_alpha"], written["task_type"]) == (3, 32, "CAUSAL_LM")


def test_a_diverged_adapter_is_not_written(tmp_path):
    base = checkpoint(tmp_path / "base", QWEN)
    _, adapter = adapted(base)
    adapter["layers.mlp.up.lora.b"] = adapter["layers.mlp.up.lora.b"].at[1, 0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match=r"layers\.1\.mlp\.up_proj\.lora_B\.weight would be NaN or infinite"):
        hf.save_adapter(tmp_path / "out", base, adapter, LORA)
    assert not (tmp_path / "out").exists()


# What is refused, in one line.


@pytest.fixture
def ours(tmp_path):
    base = checkpoint(tmp_path / "base", QWEN)
    _, adapter = adapted(base)
    hf.save_adapter(tmp_path / "adapter", base, adapter, LORA)
    return base, tmp_path / "adapter"


def refused(base, directory, message):
    """Loading says so in one line that begins with where, and leaves the model as it was."""
    model = hf.load_model(base)
    with pytest.raises(ValueError, match=message) as caught:
        hf.load_adapter(directory, model)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(directory))
    assert all(einsum.lora is None for _, einsum in lora.projections(model))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "LOHA"}, "peft_type 'LOHA' is not supported"),
        ({"peft_type": ["LORA"]}, "peft_type .* is not supported"),
        ({"use_dora": True}, "use_dora not supported"),
        ({"bias": "all", "modules_to_save": ["lm_head"]}, "bias, modules_to_save not supported"),
        ({"lora_bias": True}, "lora_bias not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out not supported"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices not supported"),
        ({"target_parameters": ["mlp.experts"]}, "target_parameters not supported"),
        ({"layer_replication": [[0, 1], [0, 2]]}, "layer_replication not supported"),
        ({"alora_invocation_tokens": [3]}, "alora_invocation_tokens not supported"),
        ({"use_qalora": True}, "use_qalora not supported"),
        ({"use_bdlora": {"nblocks": 2}}, "use_bdlora not supported"),
        ({"kasa_config": {"beta": 1e-4}, "arrow_config": {"top_k": 2}}, "arrow_config, kasa_config not supported"),
        ({"velora_config": {"scale": 1.0}}, "velora_config not supported"),
        ({"monteclora_config": {"num_samples": 2}}, "monteclora_config not supported"),
        ({"use_what_comes_next": True, "use_\n": True}, "adapter_config.json: use_what_comes_next not supported"),
        *(
            ({"init_lora_weights": start}, f"init_lora_weights '{start}' not supported")
            for start in ("pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "unheard of")
        ),
        ({"r": None}, "r must be a whole number above 0, not None"),
        ({"r": "8", "lora_alpha": None}, "r must be .* not '8'; lora_alpha must be a number, not None"),
        ({"r": "\n" * 10**6}, "r must be a whole number above 0, not .{,100}$"),
        ({"r": True}, "r must be a whole number"),
        ({"r": 0}, "r must be a whole number"),
        ({"r": 4}, r"misshapen .*q_proj.lora_A.weight \[3, 32\] instead of \[4, 32\]"),
        ({"lora_alpha": float("nan")}, "lora_alpha must be a number"),
        ({"lora_alpha": 10**400}, "lora_alpha must be a number"),
        ({"use_rslora": "yes"}, "use_rslora must be true or false"),
        ({"lora_dropout": 1.5}, "lora_dropout must be a number in"),
        ({"target_modules": 7}, "target_modules must be a list of names or a regular expression, not 7"),
        ({"target_modules": ["q_proj", None]}, "target_modules must be a list of names"),
        ({"target_modules": "(q_proj"}, "target_modules must be a list of names or a regular"),
        ({"exclude_modules": {"q_proj": 1}}, "exclude_modules must be a list"),
        ({"layers_to_transform": "0"}, "layers_to_transform must be a whole number"),
        ({"layers_to_transform": [0], "target_modules": ".*q_proj"}, "needs target_modules to be a list"),
        ({"layers_pattern": ["("]}, "layers_pattern must be a regular expression"),
        ({"layers_pattern": "(?P<layer>h)"}, "layers_pattern must be a regular expression"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern must be an object from regular expressions to whole"),
        ({"rank_pattern": {"(": 4}}, "rank_pattern must be an object"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern must be an object"),
        ({"alpha_pattern": {"q_proj": "4"}}, "alpha_pattern must be an object from regular expressions to numbers"),
        ({"rank_pattern": {"q_proj": 4}}, r"does not fit the model: misshapen .*q_proj.lora_A.weight \[3, 32\] inst"),
        ({"target_modules": ["q_proj"]}, "does not fit the model: unexpected .*layers.1.self_attn.v_proj.lora_B"),
        ({"layers_to_transform": 0}, "does not fit the model: unexpected .*layers.1.mlp.down_proj.lora_A"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_configs_that_are_damaged_or_say_what_we_cannot_express(ours, fields, message):
    described(ours[1], **fields)
    refused(*ours, message)


MODULES = [
    *(
        f"{prefix}layers.{n}.{module}"
        for prefix in ("model.", "model.language_model.", "language_model.model.", "model.vision_tower.encoder.")
        for n in (0, 1, 10)
        for module in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.out_proj", "mlp.up_proj", "mlp.fc1")
    ),
    "lm_head",
]
NAMES = ["q_proj", "proj", "1.mlp.up_proj", "model.layers.0.self_attn.q_proj", "fc1", "lm_head", "layers.1.mlp.fc1"]
REGEXES = [
    r".*\.[qk]_proj",
    r"(model\.)?layers\.[01]\..*proj",
    r"(?:.*\.)?language_model\..*\.(?:mlp\.up_proj|self_attn\.q_proj)",
    r"^model\.layers\.1\..*",
    r"layers\.1\..*",
    "q_proj",
    ".*",
]


def test_targets_ranks_and_scales_are_those_of_pefts_own_rules(tmp_path):
    peft = pytest.importorskip("peft")
    from peft.tuners.tuners_utils import _ExcludedModule, check_target_module_exists
    from peft.utils.other import get_pattern_key

    from reeval.hf import peft_config

    rolls = random.Random(0)

    def some(choices):
        return rolls.sample(choices, rolls.randint(1, 3))

    for _ in range(300):
        fields = {"r": rolls.randint(1, 9), "lora_alpha": rolls.choice([1, 7, 0.5]), "use_rslora": rolls.random() < 0.5}
        fields["target_modules"] = rolls.choice([rolls.choice(REGEXES), some(NAMES)])
        fields["exclude_modules"] = rolls.choice([None, None, rolls.choice(REGEXES), some(NAMES)])
        if isinstance(fields["target_modules"], list):
            fields["layers_to_transform"] = rolls.choice([None, 0, [0, 10], [11], []])
            if fields["layers_to_transform"] is not None:
                fields["layers_pattern"] = rolls.choice([None, "layers", ["h", "layers"], [], "model|layers"])
        for name in ("rank_pattern", "alpha_pattern"):
            fields[name] = {key: rolls.randint(1, 9) for key in rolls.choice([[], some(NAMES + REGEXES)])}
        peft.LoraConfig(**fields).save_pretrained(tmp_path)
        # The file has the patterns in an order of its own, and the first that matches counts.
        theirs, ours = peft.LoraConfig.from_pretrained(tmp_path), peft_config.read(tmp_path)
        for module in MODULES:
            chosen = check_target_module_exists(theirs, module)
            assert ours.adapts(module) == (bool(chosen) and not isinstance(chosen, _ExcludedModule)), (fields, module)
            rank = theirs.rank_pattern.get(get_pattern_key(theirs.rank_pattern, module), theirs.r)
            alpha = theirs.alpha_pattern.get(get_pattern_key(theirs.alpha_pattern, module), theirs.lora_alpha)
            assert ours.rank_of(module) == rank, (fields, module)
            assert ours.scale_of(module) == alpha / (rank**0.5 if theirs.use_rslora else rank), (fields, module)


def test_every_variant_of_lora_that_peft_knows_is_refused():
    """If this fails after an update of PEFT, it knows a field that `peft_config` lets pass."""
    peft = pytest.importorskip("peft")
    import dataclasses

    from reeval.hf import peft_config

    variants = [f.name for f in dataclasses.fields(peft.LoraConfig) if f.metadata.get("is_lora_variant")]
    assert {"use_dora", "kasa_config"} <= set(variants)
    assert set(peft_config._unsupported(dict.fromkeys(variants, True))) == set(variants)


def one_is_missing(tensors):
    del tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"]


def one_is_nan(tensors):
    tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"][2, 1] = np.nan


def one_is_infinite(tensors):
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    tensors[name] = np.full(tensors[name].shape, np.inf, np.float16)


def one_is_whole_numbers(tensors):
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    tensors[name] = tensors[name].astype(np.int32)


def one_is_too_many(tensors):
    tensors["base_model.model.model.layers.2.mlp.up_proj.lora_A.weight"] = np.ones((3, 32), np.float32)


def one_is_doras(tensors):
    tensors["base_model.model.model.layers.1.mlp.up_proj.lora_magnitude_vector"] = np.ones(88, np.float32)


def one_has_a_newline_in_its_name(tensors):
    tensors["base_model.model\n"] = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict.clear, "does not fit the model: missing .*layers.0.*layers.1"),
        (one_is_missing, r"does not fit the model: missing base_model\S*layers.1.mlp.up_proj.lora_B.weight$"),
        (one_is_nan, r"NaN or infinite numbers in base_model\S*layers.1.mlp.up_proj.lora_B.weight$"),
        (one_is_infinite, r"NaN or infinite numbers in base_model\S*layers.0.mlp.up_proj.lora_A.weight$"),
        (one_is_whole_numbers, "layers.0.mlp.up_proj.lora_A.weight is I32; only BF16, F16, F32 are supported"),
        (one_is_too_many, r"does not fit the model: unexpected base_model\S*layers.2.mlp.up_proj.lora_A.weight$"),
        (one_is_doras, r"unexpected base_model\S*lora_magnitude_vector$"),
        (one_has_a_newline_in_its_name, "a tensor is named 'base_model.model.n'; refused"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_tensors_that_do_not_fit_or_are_no_numbers(ours, change, message):
    changed(ours[1], change)
    refused(*ours, message)


def test_adapter_of_another_model_is_refused_with_all_names(ours, tmp_path):
    base, directory = ours
    other = checkpoint(tmp_path / "other", "ratio4-tied-v4")
    refused(other, directory, r"missing .*layers.3.*misshapen .*layers.0")
    _, adapter = adapted(base)
    with pytest.raises(ValueError, match=r"made for another model: model.layers.0.self_attn"):
        hf.save_merged(tmp_path / "out", other, adapter, LORA)
    assert not (tmp_path / "out").exists()


def test_an_adapter_on_top_of_another_is_refused(ours):
    base, directory = ours
    model = hf.load_model(base)
    hf.load_adapter(directory, model)
    with pytest.raises(ValueError, match="the model has an adapter already; merge that, or load the model anew"):
        hf.load_adapter(directory, model)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adapter_config.json", "no adapter_config.json; give a PEFT adapter directory"),
        ("adapter_model.safetensors", "no adapter_model.safetensors; fetch it"),
    ],
)
def test_incomplete_adapter_directory(ours, name, message):
    (ours[1] / name).unlink()
    refused(*ours, message)


def test_pickled_adapter(ours):
    (ours[1] / "adapter_model.safetensors").rename(ours[1] / "adapter_model.bin")
    refused(*ours, "pickled weights can run code and are refused; convert them")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.safetensors", lambda content: content[:-3]),
        ("adapter_model.safetensors", lambda content: content[:100]),
        ("adapter_model.safetensors", lambda content: b""),
        ("adapter_config.json", lambda content: content[:-3]),
        ("adapter_config.json", lambda content: b"[]"),
        ("adapter_config.json", lambda content: b"\xff\xfe" + content),
    ],
)
def test_truncated_or_damaged_files(ours, name, content):
    file = ours[1] / name
    file.write_bytes(content(file.read_bytes()))
    refused(*ours, "damaged or truncated|not valid JSON|not a JSON object")
