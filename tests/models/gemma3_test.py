"""What Gemma 3's decoder alone has: windows, the scaled embedding, the real shape."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_gemma3
from flax import nnx
from model_runs import empty_cache, greedy, jitted, past
from random_gemma3 import BFLOAT16, SHAPES, SPARSE_4B, relative

from reeval import hf
from reeval.models import Gemma3, Gemma3Config, MedGemma, without_images

TOLERANCE = 2e-5  # of the largest logit, in float32
SHAPE = "text-ratio1-v4"
PARAMETERS_4B = 4_300_079_472


def load(directory, raw):
    return hf.load_model(random_gemma3.write(directory, raw, random_gemma3.tensors(raw)))


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_token_reaches_as_far_as_the_windows_of_all_layers_and_no_further(tmp_path, window):
    layers, at = 3, 4
    raw = SHAPES[SHAPE] | {"num_hidden_layers": layers, "sliding_window": window}
    model = load(tmp_path, raw)
    assert model.config.windows == (window,) * layers
    forward = jitted(model)
    ids = random_gemma3.tokens(raw, 1, 24)
    changed = ids.copy()
    changed[0, at] += 1
    (differs,) = np.nonzero(np.abs(forward(ids) - forward(changed)).max(-1)[0])
    assert differs.tolist() == list(range(at, at + layers * (window - 1) + 1))


@pytest.mark.parametrize("window", [5, 128, 150, 299, 1024])
def test_windows_hold_over_sequences_longer_than_what_attention_takes_at_once(tmp_path, window):
    raw = SHAPES[SHAPE] | {"sliding_window": window}
    ids = random_gemma3.tokens(raw, 1, 301)
    expected = random_gemma3.forward(raw, random_gemma3.tensors(raw), ids[0])
    assert relative(jitted(load(tmp_path, raw))(ids)[0], expected) < TOLERANCE


def test_a_packed_segment_longer_than_the_window_sees_what_it_sees_alone(tmp_path):
    raw = SHAPES[SHAPE]
    forward = jitted(load(tmp_path, raw))
    ids = random_gemma3.tokens(raw, 1, 150)
    segments = np.repeat([1, 2, 3, 0], [33, 100, 12, 5])[None].astype(np.int32)
    packed = forward(ids, segments)[0]
    for segment in (1, 2, 3):
        alone = forward(ids[:, segments[0] == segment])[0]
        assert relative(packed[segments[0] == segment], alone) < TOLERANCE


def test_the_cache_serves_windows_on_prompts_longer_than_them(tmp_path):
    """Against the full pass over all that was written, at each step of a long generation."""
    raw = SHAPES[SHAPE]
    model = load(tmp_path, raw)
    ids = random_gemma3.tokens(raw, 2, 140)
    made = greedy(model, ids, 30)
    logits = jitted(model)(np.concatenate([ids, made], 1))
    np.testing.assert_array_equal(np.argmax(logits[:, 139:-1], -1), made)


def test_the_embedding_is_scaled_by_a_factor_rounded_to_its_dtype(tmp_path):
    """Layers that add nothing, and an epsilon that makes the last norm a division by a constant."""
    raw = SHAPES[SHAPE] | {"rms_norm_eps": 1e6, "hidden_size": 30}  # of which the root is 5.477, in bfloat16 5.469
    held = random_gemma3.tensors(raw)
    for name, tensor in held.items():
        if name.endswith(("o_proj.weight", "down_proj.weight", "model.norm.weight")):
            tensor[:] = 0
    random_gemma3.write(tmp_path, raw, held, dtype=BFLOAT16)
    ids = random_gemma3.tokens(raw, 4, 32)
    embedded = held["model.embed_tokens.weight"].astype(BFLOAT16)[ids].astype(np.float32)

    def share_equal(factor):
        x = (embedded * np.float32(factor)).astype(BFLOAT16).astype(np.float32)
        expected = (x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e6)).astype(BFLOAT16)
        return np.mean(expected == ours)

    ours = hidden(hf.load_model(tmp_path), ids)
    assert share_equal(np.float32(30**0.5).astype(BFLOAT16)) > 0.99
    assert share_equal(30**0.5) < 0.9
    exact = hidden(hf.load_model(tmp_path, dtype="float32"), ids)
    assert relative(exact, embedded * 30**0.5 / 1000) < 1e-4


def hidden(model, ids):
    graph, state = nnx.split(model)
    return np.asarray(jax.jit(lambda state: nnx.merge(graph, state).hidden(jnp.asarray(ids)))(state))


@pytest.mark.parametrize("query_scale", [4, 100])
def test_the_query_scale_is_the_configs_and_not_the_head_sizes(tmp_path, query_scale):
    raw = SHAPES[SHAPE] | {"query_pre_attn_scalar": query_scale}
    model = load(tmp_path, raw)
    assert model.config.query_scale == pytest.approx(query_scale**-0.5)
    ids = random_gemma3.tokens(raw, 1, 20)
    expected = random_gemma3.forward(raw, random_gemma3.tensors(raw), ids[0])
    assert relative(jitted(model)(ids)[0], expected) < TOLERANCE


# The real size.


@pytest.fixture(scope="module")
def config_4b(tmp_path_factory):
    directory = tmp_path_factory.mktemp("4b")
    (directory / "config.json").write_text(json.dumps(SPARSE_4B))
    return hf.load_config(directory)


def parameters(state):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_the_real_4b_shape_traces_without_memory(config_4b, dtype):
    graph, state = nnx.split(nnx.eval_shape(lambda: MedGemma(config_4b, dtype=dtype, rngs=nnx.Rngs(0))))
    assert parameters(state) == PARAMETERS_4B
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(dtype)}

    def forward(state, ids, images=None):
        return nnx.merge(graph, state)(ids, images=images)

    ids, images = jax.ShapeDtypeStruct((2, 1200), jnp.int32), jax.ShapeDtypeStruct((2, 2, 3, 896, 896), jnp.float32)
    for given in ((ids,), (ids, images)):
        logits = jax.eval_shape(forward, state, *given)
        assert (logits.shape, logits.dtype) == ((2, 1200, 262208), jnp.float32)

    def decode(state, ids, positions):
        model = nnx.merge(graph, state)
        return model.extend(ids, positions, past(empty_cache(model, 4, 1024)))

    one = jax.ShapeDtypeStruct((4, 1), jnp.int32)
    hidden, new = jax.eval_shape(decode, state, one, one)
    assert hidden.shape == (4, 1, 2560)
    assert {(kv.k.shape, kv.v.shape) for kv in new} == {((4, 4, 1, 256),) * 2} and len(new) == 34
    assert {leaf.dtype for leaf in jax.tree.leaves(new)} == {jnp.dtype(dtype)}


def test_the_real_decoder_alone_is_the_rest_of_it(config_4b):
    alone = without_images(config_4b)
    assert type(alone) is Gemma3Config
    assert alone.windows == tuple(None if n % 6 == 0 else 1024 for n in range(1, 35))
    state = nnx.state(nnx.eval_shape(lambda: Gemma3(alone, rngs=nnx.Rngs(0))))
    tower = 27 * (4 * (1152 * 1152 + 1152) + 2 * 1152 * 4304 + 1152 + 4304 + 4 * 1152)
    ends = 1152 * 3 * 14 * 14 + 1152 + 4096 * 1152 + 2 * 1152
    assert parameters(state) == PARAMETERS_4B - tower - ends - (1152 + 1152 * 2560)


def test_transformers_counts_the_same_parameters():
    torch = pytest.importorskip("torch")
    from transformers import Gemma3Config as TheirConfig
    from transformers import Gemma3ForConditionalGeneration

    with torch.device("meta"):
        theirs = Gemma3ForConditionalGeneration(TheirConfig(**SPARSE_4B))
    assert sum(p.numel() for p in theirs.parameters()) == PARAMETERS_4B
