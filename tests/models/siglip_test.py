"""The vision tower and the projector, each against a naive one in NumPy and against transformers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_gemma3
from flax import nnx
from naive_gemma3 import soft_tokens, tower
from random_gemma3 import BFLOAT16, MULTIMODAL, SHAPES, relative

from reeval import hf

TOLERANCE = 2e-5  # of the largest value, in float32


@pytest.fixture(scope="module", params=MULTIMODAL)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def directory(shape, tmp_path_factory):
    return random_gemma3.checkpoint(tmp_path_factory.mktemp(shape), shape)


@pytest.fixture(scope="module")
def model(directory):
    return hf.load_model(directory)


@pytest.fixture(scope="module")
def patches(model):
    return jitted_tower(model)


def jitted_tower(model):
    graph, state = nnx.split(model.vision)
    call = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    return lambda images: np.asarray(call(state, jnp.asarray(images)))


@pytest.fixture(scope="module")
def soft(model):
    """From images [B, C, S, S] to [B, tokens, D]."""
    graph, state = nnx.split(model)
    call = jax.jit(lambda state, x: nnx.merge(graph, state).soft_tokens(x))
    return lambda images: np.asarray(call(state, jnp.asarray(images)[:, None]))


def test_patches_are_those_of_a_naive_tower(shape, patches):
    raw = SHAPES[shape]
    images, held = random_gemma3.pixels(raw, 3), random_gemma3.tensors(raw)
    assert relative(patches(images), np.stack([tower(raw, held, image) for image in images])) < TOLERANCE


def test_soft_tokens_are_those_of_a_naive_projector(shape, soft):
    raw = SHAPES[shape]
    images, held = random_gemma3.pixels(raw, 3), random_gemma3.tensors(raw)
    expected = np.stack([soft_tokens(raw, held, image) for image in images])
    assert expected.shape == (3, raw["mm_tokens_per_image"], raw["text_config"]["hidden_size"])
    assert relative(soft(images), expected) < TOLERANCE


def test_both_are_those_of_transformers(shape, directory, patches, soft):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForImageTextToText

    theirs = AutoModelForImageTextToText.from_pretrained(directory, dtype="float32").eval()
    images = random_gemma3.pixels(SHAPES[shape], 3)
    with torch.no_grad():
        reference = theirs.model.vision_tower(torch.tensor(images)).last_hidden_state
        projected = theirs.model.multi_modal_projector(reference)
    assert relative(patches(images), reference.numpy()) < TOLERANCE
    assert relative(soft(images), projected.numpy()) < TOLERANCE


def test_images_of_a_batch_do_not_matter_to_each_other(shape, patches):
    images = random_gemma3.pixels(SHAPES[shape], 3)
    together = patches(images)
    images[[0, 2]] = -images[[2, 0]]
    np.testing.assert_array_equal(patches(images)[1], together[1])


def test_a_tower_in_bfloat16_is_near_the_same_one_in_float32(tmp_path):
    """The same rounded weights in the arithmetic of either."""
    raw = SHAPES[MULTIMODAL[0]]
    held = {name: t.astype(BFLOAT16).astype(np.float32) for name, t in random_gemma3.tensors(raw).items()}
    directory = random_gemma3.write(tmp_path, raw, held, dtype=BFLOAT16)
    images = random_gemma3.pixels(raw, 3)
    expected = np.stack([tower(raw, held, image) for image in images])
    assert relative(jitted_tower(hf.load_model(directory, dtype="float32"))(images), expected) < TOLERANCE
    ours = jitted_tower(hf.load_model(directory))(images)
    assert ours.dtype == BFLOAT16
    assert relative(ours.astype(np.float32), expected) < 0.03
