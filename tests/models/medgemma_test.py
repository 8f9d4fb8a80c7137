"""Text with images: the whole model against a naive one in NumPy, against transformers, and against itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_gemma3
from flax import nnx
from model_runs import empty_cache, extending, greedy, jitted
from random_gemma3 import BFLOAT16, MULTIMODAL, SHAPES, forward, pixels, relative, tensors, with_images

from reeval import hf, lora
from reeval.models import Gemma3, MedGemma, without_images

TOLERANCE = 2e-5  # of the largest logit, in float32
SMALL = "ratio4-v5"  # in which an image is longer than the window
LENGTH = 47  # of a row: two images and text before, between and after them


@pytest.fixture(scope="module", params=MULTIMODAL)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def raw(shape):
    return SHAPES[shape]


@pytest.fixture(scope="module")
def directory(shape, tmp_path_factory):
    return random_gemma3.checkpoint(tmp_path_factory.mktemp(shape), shape)


@pytest.fixture(scope="module")
def model(directory):
    return hf.load_model(directory)


@pytest.fixture(scope="module")
def ours(model):
    return jitted(model)


@pytest.fixture(scope="module")
def theirs(directory):
    return transformers_model(directory, "float32")


def transformers_model(directory, dtype):
    torch = pytest.importorskip("torch")
    from transformers import Gemma3ForConditionalGeneration

    torch.set_num_threads(1)
    return Gemma3ForConditionalGeneration.from_pretrained(directory, dtype=dtype).eval()


def their_inputs(raw, ids, images, mask=None):
    """What transformers' processor gives: of images those that a row has, image tokens marked."""
    import torch

    is_image = ids == raw["image_token_index"]
    counts = is_image.sum(1) // raw["mm_tokens_per_image"]
    return {
        "input_ids": torch.tensor(ids),
        "attention_mask": torch.tensor(np.ones_like(ids) if mask is None else mask),
        "token_type_ids": torch.tensor(is_image.astype(np.int64)),
        "pixel_values": torch.tensor(np.concatenate([row[:n] for row, n in zip(images, counts, strict=True)])),
    }


def test_logits_are_those_of_a_naive_forward_pass_whatever_lies_in_unused_slots(raw, ours):
    ids, images = with_images(raw, [1, 2, 0], LENGTH), pixels(raw, 3, 2)
    held = tensors(raw)
    expected = [forward(raw, held, row, given) for row, given in zip(ids, images, strict=True)]
    got = ours(ids, images=images)
    assert relative(got, np.stack(expected)) < TOLERANCE
    images[0, 1], images[2] = 100 * images[0, 1], -images[2]
    assert relative(ours(ids, images=images), got) < 1e-6


def test_logits_are_those_of_transformers_with_left_padding_and_without(raw, ours, theirs):
    import torch

    ids, images = with_images(raw, [2, 1, 2], LENGTH), pixels(raw, 3, 2)
    with torch.no_grad():
        reference = theirs(**their_inputs(raw, ids, images)).logits.numpy()
    assert relative(ours(ids, images=images), reference) < TOLERANCE

    padding = 13
    padded = np.pad(ids, ((0, 0), (padding, 0)))
    mask = np.pad(np.ones_like(ids), ((0, 0), (padding, 0)))
    positions = torch.tensor(np.maximum(np.cumsum(mask, 1) - 1, 0))
    with torch.no_grad():
        reference = theirs(**their_inputs(raw, padded, images, mask), position_ids=positions).logits.numpy()
    assert relative(ours(padded, mask, images)[:, padding:], reference[:, padding:]) < TOLERANCE


def test_greedy_generation_after_images_is_that_of_transformers(raw, model, theirs):
    new = 40
    ids, images = with_images(raw, [1, 2], LENGTH), pixels(raw, 2, 2)
    reference = theirs.generate(
        **their_inputs(raw, ids, images), do_sample=False, max_new_tokens=new, min_new_tokens=new, pad_token_id=0
    )
    assert greedy(model, ids, new, images).tolist() == reference[:, LENGTH:].tolist()


def test_the_decoder_alone_is_the_whole_model_on_text(raw, directory, ours):
    alone = hf.load_model(directory, images=False)
    assert type(alone) is Gemma3
    assert alone.config == without_images(hf.load_config(directory))
    ids = random_gemma3.tokens(raw, 2, LENGTH)
    np.testing.assert_array_equal(jitted(alone)(ids), ours(ids))


def test_bfloat16_is_as_near_to_the_truth_as_transformers_is(raw, tmp_path):
    """The truth: the same rounded weights in float64."""
    torch = pytest.importorskip("torch")
    held = {name: tensor.astype(BFLOAT16).astype(np.float64) for name, tensor in tensors(raw).items()}
    directory = random_gemma3.write(tmp_path, raw, held, dtype=BFLOAT16)
    ids, images = with_images(raw, [1, 2] * 4, LENGTH), pixels(raw, 8, 2)
    truth = np.stack([forward(raw, held, row, given) for row, given in zip(ids, images, strict=True)])
    with torch.no_grad():
        inputs = their_inputs(raw, ids, images)
        inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
        reference = transformers_model(directory, "bfloat16")(**inputs).logits.float().numpy()
    ours = jitted(hf.load_model(directory))(ids, images=images)

    def error(logits):
        return float(np.sqrt(np.mean((logits - truth) ** 2) / np.mean(truth**2)))

    assert error(ours) < 1.1 * error(reference)
    assert relative(ours, reference) < 0.15


# What follows holds the port against itself.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    model = hf.load_model(random_gemma3.checkpoint(tmp_path_factory.mktemp("small"), SMALL))
    return SHAPES[SMALL], model, jitted(model)


def test_packed_rows_with_images_in_several_segments_are_each_alone(small):
    raw, _, forward = small
    ids, images = with_images(raw, [1, 2, 0, 1], LENGTH), pixels(raw, 4, 2)
    lengths = [20, 40, 5, 17]
    parts = [row[:length] for row, length in zip(ids, lengths, strict=True)]
    # The last but one begins and ends in an image, right where others do.
    token = raw["image_token_index"]
    parts.insert(1, np.full(raw["mm_tokens_per_image"], token, np.int32))
    parts[2] = np.concatenate([parts[1], parts[2]])
    own = [images[0, :1], images[2, :1], np.concatenate([images[2, 1:], images[1]]), images[2, :0], images[3, :1]]
    packed = np.concatenate([*parts, [3, 3, 3]])[None]
    segments = np.repeat([1, 2, 3, 4, 5, 0], [*map(len, parts), 3])[None].astype(np.int32)
    got = forward(packed, segments, np.concatenate(own)[None])[0]
    alone = np.zeros((5, max(map(len, parts))), np.int32)
    slots = np.zeros((5, 3, *images.shape[2:]), np.float32)
    for n, (part, given) in enumerate(zip(parts, own, strict=True)):
        alone[n, : len(part)], slots[n, : len(given)] = part, given
    expected = forward(alone, images=slots)
    for n, part in enumerate(parts):
        assert relative(got[segments[0] == n + 1], expected[n, : len(part)]) < TOLERANCE, n


def test_prefilling_images_and_decoding_with_the_cache_is_the_full_forward_pass(small):
    """Rows of different lengths and numbers of images, prefilled with padding; then by one token, then by several."""
    raw, model, forward = small
    extend = extending(model)
    ids, images = with_images(raw, [2, 1], LENGTH), pixels(raw, 2, 2)
    full = forward(ids, images=images)
    prefilled, slots, width = np.array([34, 17]), LENGTH, 36
    positions = np.broadcast_to(np.arange(width), (2, width))
    positions = np.where(positions < prefilled[:, None], positions, slots)
    # What pads a row is an image token here, which must change nothing.
    tokens = np.where(positions < slots, ids[:, :width], raw["image_token_index"]).astype(np.int32)
    got, cache = extend(tokens, positions, empty_cache(model, 2, slots), images=images)
    for row in range(2):
        assert relative(got[row, : prefilled[row]], full[row, : prefilled[row]]) < TOLERANCE
    rows = np.arange(2)
    for n in range(4):
        at = prefilled + n
        got, cache = extend(ids[rows, at][:, None], at[:, None], cache)
        assert relative(got[:, 0], full[rows, at]) < TOLERANCE
    at = (prefilled + 4)[:, None] + np.arange(9)
    got, _ = extend(ids[rows[:, None], at], at, cache)
    assert relative(got, full[rows[:, None], at]) < TOLERANCE


def test_an_image_may_come_after_what_is_cached(small):
    raw, model, forward = small
    ids, images = with_images(raw, [2, 2], LENGTH), pixels(raw, 2, 2)
    first = 2 + raw["mm_tokens_per_image"] + 3  # between the two images
    cache, made = empty_cache(model, 2, LENGTH), []
    for part, given in ((slice(0, first), images[:, :1]), (slice(first, LENGTH), images[:, 1:])):
        positions = np.broadcast_to(np.arange(LENGTH)[part], ids[:, part].shape)
        logits, cache = extending(model)(ids[:, part], positions, cache, images=given)
        made.append(logits)
    assert relative(np.concatenate(made, 1), forward(ids, images=images)) < TOLERANCE


def test_an_image_changes_its_own_logits_and_later_ones_alone(small):
    raw, _, forward = small
    ids, images = with_images(raw, [2], LENGTH), pixels(raw, 1, 2)
    changed = images.copy()
    changed[0, 1, :, -1, -1] += 1.0  # in the last patch of the second image
    start = 2 + raw["mm_tokens_per_image"] + 5 + 1
    before, after = forward(ids, images=images)[0], forward(ids, images=changed)[0]
    np.testing.assert_array_equal(before[:start], after[:start])
    assert (np.abs(before[start:] - after[start:]).max(-1) > 0).all()


def test_an_image_may_lie_across_what_attention_takes_at_once(small):
    """Keys that come later, which a block of queries leaves out elsewhere."""
    raw, _, ours = small
    n, images = raw["mm_tokens_per_image"], pixels(raw, 1, 2)
    before = 128 - 2 - n // 2  # then two tokens, the first half of the image, and the 128th key
    ids = np.concatenate([random_gemma3.tokens(raw, 1, before, seed=5), with_images(raw, [2], 150)], 1)
    assert ids[0, 127] == ids[0, 128] == raw["image_token_index"]
    expected = forward(raw, tensors(raw), ids[0], images[0])
    assert relative(ours(ids, images=images)[0], expected) < TOLERANCE


def test_rows_of_a_batch_do_not_matter_to_each_other(small):
    raw, _, forward = small
    ids, images = with_images(raw, [0, 1, 2], LENGTH), pixels(raw, 3, 2)
    order = [2, 0, 1]
    together = forward(ids, images=images)
    assert relative(forward(ids[order], images=images[order]), together[order]) < TOLERANCE
    assert relative(forward(ids[:1]), together[:1]) < TOLERANCE, "a row without images is text alone"


def test_patches_that_fill_no_square_are_left_out_as_in_transformers(tmp_path):
    """A grid of five, averaged to two by two."""
    pytest.importorskip("torch")
    import torch

    raw = SHAPES[SMALL] | {"mm_tokens_per_image": 4}
    raw["vision_config"] = raw["vision_config"] | {"image_size": 20, "patch_size": 4}
    directory = random_gemma3.write(tmp_path, raw, tensors(raw))
    ids, images = with_images(raw, [2, 1], LENGTH), pixels(raw, 2, 2)
    with torch.no_grad():
        reference = transformers_model(directory, "float32")(**their_inputs(raw, ids, images)).logits.numpy()
    assert relative(jitted(hf.load_model(directory))(ids, images=images), reference) < TOLERANCE


def test_an_image_token_may_lie_outside_the_vocabulary(tmp_path):
    """As transformers allows; its embedding is not used."""
    raw, held = SHAPES[SMALL], tensors(SHAPES[SMALL])
    shrunk = raw | {"text_config": raw["text_config"] | {"vocab_size": raw["image_token_index"]}}
    name = "language_model.model.embed_tokens.weight"
    held[name] = held[name][:-1]
    model = hf.load_model(random_gemma3.write(tmp_path, shrunk, held))
    ids, images = with_images(raw, [2], LENGTH), pixels(raw, 1, 2)
    logits = jitted(model)(ids, images=images)[0]
    assert relative(logits, forward(shrunk, held, ids[0], images[0])) < TOLERANCE


def test_remat_changes_neither_values_nor_gradients(small):
    raw, plain, _ = small
    model = nnx.merge(*nnx.split(plain))
    lora.add(model, lora.LoRAConfig(rank=2, targets=r".*(q|o|up)_proj"), hf.module_name, rngs=nnx.Rngs(0))
    parts, adapter, base = lora.take_apart(model)
    adapter = {name: leaf + 0.1 for name, leaf in adapter.items()}
    ids, images = jnp.asarray(with_images(raw, [1], 20)), jnp.asarray(pixels(raw, 1, 1))

    def loss(adapter, base, images, remat):
        return jnp.sum(parts.assemble(adapter, base).hidden(ids, images=images, remat=remat) ** 3)

    step = jax.jit(jax.value_and_grad(loss), static_argnums=3)
    kept, recomputed = (step(adapter, base, images, name) for name in ("none", "full"))
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(recomputed), strict=True):
        assert relative(b, a) < TOLERANCE


def test_an_adapter_of_everything_leaves_the_tower_and_the_projector_alone():
    config = hf_config(SMALL)
    whole = nnx.eval_shape(lambda: MedGemma(config, rngs=nnx.Rngs(0)))
    alone = nnx.eval_shape(lambda: Gemma3(without_images(config), rngs=nnx.Rngs(0)))
    found = [[path for path, _ in lora.projections(model)] for model in (whole, alone)]
    assert found[0] == found[1] and len(found[0]) == 7
    held = [{".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(model))} for model in (whole, alone)]
    assert all(name.startswith(("vision.", "projector.")) for name in held[0] - held[1])
    assert held[1] < held[0]


def hf_config(shape):
    from reeval.hf import gemma3

    return gemma3.read_config(SHAPES[shape])
