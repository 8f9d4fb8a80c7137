"""The command of `tests/real_checkpoint.py` at a tenth of the size, limits and all."""

import ml_dtypes
import numpy as np
import pytest
import real_checkpoint
import real_comparisons
import real_shapes
from safetensors.numpy import load_file, save_file

from reeval import hf


@pytest.mark.slow
@pytest.mark.parametrize("model", real_checkpoint.SHARDS)
def test_a_tenth_of_the_real_size(tmp_path, model):
    rows = real_checkpoint.run(model, tmp_path / "made", 0.1)
    assert all(row.ok for row in rows), rows
    limited = [row.step for row in rows if row.limit is not None]
    assert limited == [
        "load",
        *["load the decoder alone"] * (model == "medgemma_4b"),
        "export merged",
        "export an adapter",
    ]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("model", "count"), [("qwen3_8b", 8_190_735_360), ("medgemma_4b", 4_300_079_472)])
def test_the_real_shapes_are_the_real_ones(model, count):
    """The number of parameters as published."""
    shapes = real_shapes.shapes(real_shapes.MODELS[model])
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == count


def wrong(results):
    return [what for what, right in results if not right]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A directory of a five-hundredth of the size, what was loaded from it, and its exports."""
    directory = tmp_path_factory.mktemp("small")
    task = real_checkpoint.Task("medgemma_4b", directory, 0.002)
    real_shapes.write(task.base, task.model, task.scale)
    for step in ("export merged", "export an adapter"):
        assert not real_checkpoint.step(step, task).wrong
    return directory, hf.load_model(task.base)


def test_the_comparison_sees_one_number_that_differs(small):
    directory, model = small

    def compare():
        return wrong(real_comparisons.loaded(directory / "base", "medgemma_4b", model, images=True))

    assert compare() == []
    for parameter, name in (
        (model.embed.embedding, "language_model.model.embed_tokens.weight"),
        (model.layers.attn.o.w, "language_model.model.layers.0.self_attn.o_proj.weight"),
        (model.vision.patch.w, "vision_tower.vision_model.embeddings.patch_embedding.weight"),
        (model.projector.w, "multi_modal_projector.mm_input_projection_weight"),
    ):
        before = parameter[...]
        parameter[...] = before.at[(0,) * before.ndim].add(0.5)
        assert compare() == [name]
        parameter[...] = before


def test_the_comparison_sees_an_export_that_differs(small):
    directory, _ = small

    def compare():
        return wrong(real_comparisons.exported(directory / "base", directory / "merged", directory / "adapter"))

    assert compare() == []
    for part, name, size in (
        ("merged", "vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias", 2**-7),
        ("merged", "language_model.model.layers.0.mlp.up_proj.weight", 2**-7),
        ("adapter", "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_B.weight", 0.1),
    ):
        (file,) = (f for f in (directory / part).glob("*.safetensors") if name in load_file(f))
        before, held = file.read_bytes(), load_file(file)
        number = held[name].reshape(-1)[:1]
        number += np.abs(number) * size if held[name].dtype == ml_dtypes.bfloat16 else size
        save_file(held, file)
        assert len(compare()) == 1
        file.write_bytes(before)
