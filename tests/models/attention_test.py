"""Each backend of attention against a naive one in float64: values, gradients, and nothing that leaks."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reeval import sharding
from reeval.models import attention, cudnn
from reeval.models.attention import BACKENDS, _backend, attend
from reeval.models.gemma3 import Gemma3, Gemma3Config, Rope
from reeval.models.layers import Placement
from reeval.models.qwen3 import Qwen3, Qwen3Config

# Blockwise as GPUs have it differs in its blocks, and takes all rows at once.
ON_GPUS = "blockwise on GPUs"
COMPUTED = [*(name for name in BACKENDS if name != "auto"), ON_GPUS]
# Rows, time, key heads, query heads of each, head size, window.
CASES = {
    "one token": (2, 1, 1, 1, 64, None),
    "a window shorter than a block": (1, 127, 2, 2, 64, 5),
    "no multiple of a block": (2, 130, 1, 8, 128, None),
    "a window longer than a block": (1, 300, 1, 4, 256, 140),
    "a window that nothing fills": (1, 130, 2, 1, 64, 400),
    "two blocks of splash": (1, 600, 1, 2, 64, 200),
}


def inputs(B, T, K, G, H):
    rng = np.random.default_rng(T)
    shapes = [(B, T, K * G, H), (B, K, T, H), (B, K, T, H), (B, T, K * G, H)]
    q, k, v, d_out = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    # Packed sequences of uneven length and padding, which starts elsewhere in each row.
    segments = np.stack([1 + np.arange(T) * 3 // T for _ in range(B)]).astype(np.int32)
    for row in range(B):
        segments[row, T - (T // 10) * (row + 1) :] = 0 if T > 1 else 1
    return q, k, v, d_out, segments


def naive(q, k, v, segments, window, scale, parents=None, positions=None):
    """[B, T, N, H] in float64, with nothing but a mask."""
    T, G = q.shape[1], q.shape[2] // k.shape[1]
    k, v = (jnp.repeat(x, G, axis=1) for x in (k, v))
    ahead = np.arange(T)[:, None] - np.arange(T)[None]
    apart = ahead[None] if positions is None else positions[:, :, None] - positions[:, None]
    seen = (ahead >= 0)[None] & (apart < (window or T))
    alike = segments[:, :, None] == segments[:, None]
    if parents is not None:
        alike |= parents[:, :, None] == segments[:, None]
    seen = seen & alike
    logits = jnp.where(seen[:, None], jnp.einsum("btnh,bnsh->bnts", q, k) * scale, -jnp.inf)
    return jnp.einsum("bnts,bnsh->btnh", jax.nn.softmax(logits, axis=-1), v)


@contextlib.contextmanager
def computed_by(backend, mesh):
    with pytest.MonkeyPatch.context() as patch:
        if backend == ON_GPUS:
            patch.setattr(attention, "_CPU_BLOCKS", attention._GPU_BLOCKS)
        with sharding.activations(mesh, attention=backend.split()[0]):
            yield


def run(backend, mesh, q, k, v, d_out, segments, window, scale, **continued):
    """The output and the gradients of queries, keys and values, the window an array as a scan over layers has it."""

    def made(q, k, v):
        with computed_by(backend, mesh):
            return attend(q, k, v, scale=scale, segments_BS=segments, window=traced, windows=windows, **continued)

    windows = () if window is None else (3, window, 2**30)
    traced = None if window is None else jnp.int32(window)
    out, back = jax.jit(lambda *x: jax.vjp(made, *x))(q, k, v)
    return [out, *jax.jit(back)(d_out)]


def relative(got, wanted):
    return float(np.abs(np.asarray(got, np.float64) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", COMPUTED)
def test_values_and_gradients_are_those_of_a_naive_attention(backend, case):
    *sizes, window = CASES[case]
    q, k, v, d_out, segments = inputs(*sizes)
    scale = 0.7 * sizes[-1] ** -0.5
    got = run(backend, sharding.single_device_mesh(), q, k, v, d_out, segments, window, scale)
    with jax.enable_x64(True):
        of64 = [jnp.asarray(x, jnp.float64) for x in (q, k, v)]
        out, back = jax.vjp(lambda q, k, v: naive(q, k, v, segments, window, scale), *of64)
        wanted = [np.asarray(x) for x in (out, *back(jnp.asarray(d_out, jnp.float64)))]
    assert wanted[0].dtype == np.float64
    for one, other in zip(got, wanted, strict=True):
        # Of one token alone nothing depends on query and key.
        if np.abs(other).max() < 1e-12:
            assert np.abs(one).max() < 1e-6
        else:
            assert relative(one, other) < 1e-5


@pytest.mark.parametrize("window", [None, 30])
@pytest.mark.parametrize("backend", ["xla", "blockwise", ON_GPUS, "cudnn"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 2)])
def test_what_continues_a_segment_sees_it(shape, backend, window):
    q, k, v, d_out, _ = inputs(4, 300, 2, 2, 64)
    # Two that others continue, in turn: 20 and 31 tokens, each followed by what counts on from there.
    sizes, first = [20, 31, 70, 45, 90, 20], (0, 20, 31)
    segments, parents, positions = (np.zeros((4, 300), np.int32) for _ in range(3))
    at = 0
    for number, size in enumerate(sizes, start=1):
        parent = number if number < 3 else 1 + number % 2
        own = slice(at, at + size)
        segments[:, own], parents[:, own] = number, parent
        positions[:, own] = np.arange(size) + (0 if number < 3 else first[parent])
        at += size
    d_out[:, at:] = 0.0
    mesh = sharding.make_mesh(shape, jax.devices()[: int(np.prod(shape))])
    continued = {"parents_BS": jnp.asarray(parents), "positions_BT": jnp.asarray(positions)}
    got = run(backend, mesh, q, k, v, d_out, segments, window, 0.1, **continued)
    with jax.enable_x64(True):
        of64 = [jnp.asarray(x, jnp.float64) for x in (q, k, v)]
        out, back = jax.vjp(lambda q, k, v: naive(q, k, v, segments, window, 0.1, parents, positions), *of64)
        wanted = [np.asarray(x) for x in (out, *back(jnp.asarray(d_out, jnp.float64)))]
    for one, other in zip(got, wanted, strict=True):
        assert relative(one, other) < 1e-5


@pytest.mark.parametrize("backend", COMPUTED)
def test_a_mesh_of_devices_computes_what_one_does(backend):
    q, k, v, d_out, segments = inputs(4, 130, 2, 2, 64)
    one, several = (
        run(backend, mesh, q, k, v, d_out, segments, 7, 0.1)
        for mesh in (sharding.single_device_mesh(), sharding.make_mesh((2, 2, 2)))
    )
    for x, y in zip(several, one, strict=True):
        assert relative(x, np.asarray(y, np.float64)) < 2e-6


def test_heads_that_do_not_divide_over_devices_stay_whole():
    # Four query heads divide over the four devices; the key head that they read does not.
    q, k, v, d_out, segments = inputs(2, 130, 1, 4, 64)
    mesh = sharding.make_mesh((2, 1, 4))
    got = run("blockwise", mesh, q, k, v, d_out, segments, None, 0.1)
    wanted = run("xla", sharding.single_device_mesh(), q, k, v, d_out, segments, None, 0.1)
    for x, y in zip(got, wanted, strict=True):
        assert relative(x, np.asarray(y, np.float64)) < 1e-5


SIZES = {
    "vocab_size": 40,
    "d_model": 32,
    "hidden": 48,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 16,
    "norm_eps": 1e-6,
    "tied": True,
}


def small(family):
    if family == "qwen3":
        return Qwen3(Qwen3Config(**SIZES, rope_theta=1e4), rngs=nnx.Rngs(0))
    seen = {"query_scale": 0.25, "windows": (6, None), "local_rope": Rope(1e4), "global_rope": Rope(1e6)}
    return Gemma3(Gemma3Config(**SIZES, **seen), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
@pytest.mark.parametrize("backend", COMPUTED)
def test_changing_one_packed_pair_changes_nothing_in_the_other(backend, family):
    graph, state = nnx.split(small(family))
    segments = jnp.asarray([[1] * 70 + [2] * 75 + [0] * 5], jnp.int32)
    mesh = sharding.single_device_mesh()

    @functools.partial(jax.jit, static_argnums=2)
    def of(tokens, weights, backend):
        """Hidden states, and the gradient of what each token's embedding gives."""

        def total(added):
            with computed_by(backend, mesh):
                model = nnx.merge(graph, state)
                embed, model.inputs = model.inputs, lambda t, images: (embed(t, images)[0] + added, None)
                hidden = model.hidden(tokens, segments_BT=segments)
            return jnp.sum(hidden**3 * weights), hidden

        gradient, hidden = jax.grad(total, has_aux=True)(jnp.zeros((*tokens.shape, SIZES["d_model"])))
        return hidden, gradient

    tokens = jax.random.randint(jax.random.key(1), segments.shape, 0, 40)
    weights = jax.random.normal(jax.random.key(2), (*segments.shape, 1))
    for changed in (1, 2):
        other = jnp.where(segments == changed, (tokens + 7) % 40, tokens)
        before, after = of(tokens, weights, backend), of(other, weights, backend)
        kept = np.asarray((segments != changed) & (segments > 0))
        for x, y in zip(before, after, strict=True):
            np.testing.assert_array_equal(np.asarray(x)[kept], np.asarray(y)[kept])
            assert not np.array_equal(np.asarray(x)[~kept], np.asarray(y)[~kept])
            assert np.isfinite(np.asarray(y)).all()
    # What only one pair's loss says of the other's embeddings.
    _, gradient = of(tokens, jnp.where(segments[..., None] == 1, weights, 0.0), backend)
    assert np.abs(np.asarray(gradient)[np.asarray(segments == 1)]).max() > 0
    assert np.abs(np.asarray(gradient)[np.asarray(segments != 1)]).max() == 0


@pytest.mark.parametrize(
    ("platform", "T", "known", "continued", "takes", "chosen"),
    [
        ("cpu", 129, False, False, False, "blockwise"),
        ("cpu", 129, False, True, True, "blockwise"),
        ("cpu", 128, True, False, False, "xla"),
        ("gpu", 2048, False, True, False, "blockwise"),
        ("gpu", 2048, False, True, True, "cudnn"),
        ("gpu", 128, False, False, True, "xla"),
        ("tpu", 2048, True, False, True, "splash"),
        ("tpu", 2048, True, True, False, "xla"),
        ("tpu", 2048, False, False, False, "xla"),
        ("tpu", 1, True, False, False, "xla"),
    ],
)
def test_auto_is_by_the_platform_of_the_mesh_and_by_shape(platform, T, known, continued, takes, chosen):
    assert _backend(Placement(None, None, platform, (0, 0), "auto"), T, known, continued, takes) == chosen


@pytest.mark.parametrize(
    ("head_dim", "dtype", "capability", "takes"),
    [
        (128, "bfloat16", (8, 0), True),
        (128, "float16", (9, 0), True),
        (256, "bfloat16", (9, 0), True),
        (256, "bfloat16", (10, 0), True),
        (256, "bfloat16", (8, 9), False),
        (288, "bfloat16", (9, 0), False),
        (100, "bfloat16", (9, 0), False),
        (128, "float32", (9, 0), False),
        (128, "bfloat16", (7, 5), False),
        (128, "bfloat16", (0, 0), False),
    ],
)
def test_what_cudnn_has_a_kernel_for(head_dim, dtype, capability, takes, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cudnn.takes(head_dim, jnp.dtype(dtype), capability) == takes


@pytest.mark.parametrize(
    ("backend", "platform", "known", "continued", "said"),
    [
        ("splash", "tpu", False, False, "to know a model's windows"),
        ("splash", "tpu", True, True, "no segments that continue others"),
        ("cudnn", "gpu", True, False, "no kernel for heads of this size"),
        ("cudnn", "tpu", True, False, "is for GPUs"),
        ("fast", "tpu", True, False, "is not one of auto"),
    ],
)
def test_a_backend_that_cannot_do_it_says_so(backend, platform, known, continued, said):
    with pytest.raises(ValueError, match=said):
        _backend(Placement(None, None, platform, (0, 0), backend), 300, known, continued, False)


def test_where_cudnn_is_missing_it_says_what_does_without(monkeypatch):
    def missing(*args, **kwargs):
        raise RuntimeError("cuDNN is not detected.\nMore of it.")

    monkeypatch.setattr(jax.nn, "dot_product_attention", missing)
    q, k, v, _, segments = (jnp.asarray(x) for x in inputs(1, 4, 1, 1, 8))
    with pytest.raises(ValueError, match=r"had: cuDNN is not detected \(pip.*attention=blockwise does without$"):
        cudnn.cudnn(q.transpose(0, 2, 1, 3)[:, :, None], k, v, segments, scale=1.0, fused=True)
    with pytest.raises(RuntimeError):
        cudnn.cudnn(q.transpose(0, 2, 1, 3)[:, :, None], k, v, segments, scale=1.0, fused=False)
