"""Training on images: the loss that transformers gives, a tower that stays as it is, runs that know their images."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import random_judge
import seeing_judge
from flax import nnx
from ml_collections import ConfigDict
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs import tiny
from reeval import hf, lora, pairs, sharding
from reeval.data import batches
from reeval.data.conversation import Conversation
from reeval.export import export
from reeval.models import Gemma3, MedGemma
from reeval.run import add_adapters
from reeval.train import loop
from reeval.train.checkpoint import Checkpoints
from reeval.train.objective import sft_loss
from reeval.train.step import TrainState

STEPS, LENGTH = 6, 320
MESH = sharding.single_device_mesh
TOWER = ("vision.", "projector.")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("inputs")
    seeing_judge.write_judge(directory / "model")
    write_pairs(directory)
    return directory


def write_pairs(directory: Path) -> None:
    made = seeing_judge.pairs(directory / "images", 24)
    pairs.write(directory / "train.jsonl", made)
    pairs.write(directory / "blind.jsonl", [dataclasses.replace(pair, image=None) for pair in made])


def config(inputs: Path, **data: Any) -> ConfigDict:
    made = tiny.get_config()
    made.model.path = str(inputs / "model")
    made.data.update({"train": str(inputs / "train.jsonl"), "images": True, "sequence_length": LENGTH} | data)
    made.train.update({"steps": STEPS, "batch_size": 4, "warmup_steps": 1, "log_every": 1, "checkpoint_every": 3})
    return made


def losses(workdir: Path) -> list[float]:
    events = EventAccumulator(str(workdir / "tensorboard" / "train"))
    events.Reload()
    return [event.value for event in events.Scalars("train/loss")]


def test_all_weights_of_the_decoder_train_and_what_sees_is_exported_as_it_was(inputs: Path, tmp_path: Path) -> None:
    made = config(inputs)
    made.tuning = "full"
    made.train.learning_rate = 1e-3
    loop.train(made, tmp_path / "work", mesh=MESH())
    export(tmp_path / "work", tmp_path / "judge")
    before, after = (
        {".".join(map(str, path)): np.asarray(x[...]) for path, x in nnx.to_flat_state(nnx.state(hf.load_model(judge)))}
        for judge in (inputs / "model", tmp_path / "judge")
    )
    assert any(name.startswith(TOWER) for name in before)
    for name, value in before.items():
        assert np.array_equal(value, after[name]) == name.startswith(TOWER), name
    # Beside the decoder the directory has all that it takes to be asked with images.
    assert hf.load_processor(tmp_path / "judge", hf.load_tokenizer(tmp_path / "judge")) is not None


def adapter(made: ConfigDict, workdir: Path) -> dict[str, np.ndarray]:
    model, _ = loop.load_base(made, MESH())
    add_adapters(made, model, MESH())
    _, fresh, _ = lora.take_apart(model)
    step, restored = Checkpoints.newest_trained(workdir / "checkpoints", fresh)
    assert step == STEPS
    return {name: np.asarray(value) for name, value in restored.items()}


class Trained(NamedTuple):
    workdir: Path
    state: TrainState
    base: nnx.State  # as it is after training


@pytest.fixture(scope="module")
def trained(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    workdir, kept = tmp_path_factory.mktemp("work"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lora, "take_apart", lambda *args, part=lora.take_apart: kept.append(part(*args)) or kept[-1])
        state = loop.train(config(inputs), workdir, mesh=MESH())
    return Trained(workdir, state, kept[0][2])


@pytest.fixture(scope="module")
def batch(inputs: Path) -> Iterator[dict[str, np.ndarray]]:
    """One batch, with rows of several images and of none."""
    tokenizer = hf.load_tokenizer(inputs / "model")
    conversation = Conversation(tokenizer, "compact-1", hf.load_processor(inputs / "model", tokenizer))
    examples = batches.training_examples(
        conversation, pairs.read(inputs / "train.jsonl"), length=LENGTH, severity_weight=3.0
    )
    data = batches.packed(examples, length=LENGTH, rows=6, two_pass_share=0.5, seed=1)
    made = next(iter(data))
    images = [np.unique(segments[tokens == conversation.processor.token]).size
              for segments, tokens in zip(made["segments"], made["tokens"], strict=True)]  # fmt: skip
    assert max(images) > 1
    return made


def total_loss(model: Any, batch: Any) -> Any:
    return sft_loss(model, batch, key=None, remat="none", chunk=LENGTH)[0]


def test_the_loss_of_packed_rows_is_that_of_transformers_on_each_conversation(
    inputs: Path, batch: dict[str, np.ndarray]
) -> None:
    torch = pytest.importorskip("torch")
    from transformers import Gemma3ForConditionalGeneration

    model = hf.load_model(inputs / "model")
    theirs = Gemma3ForConditionalGeneration.from_pretrained(inputs / "model", attn_implementation="eager").eval()
    token = theirs.config.image_token_id

    counted = np.float32(batch["segments"] > 0)

    @jax.jit
    def each_loss(batch: Any) -> Any:
        """The loss of each token is how the whole grows with the token's weight."""
        return jax.grad(lambda weights: total_loss(model, batch | {"weights": weights}))(counted)

    ours, flipped = each_loss(batch), each_loss(batch | {"images": np.flip(batch["images"], axis=-1)})
    expected = np.zeros_like(ours)
    for row in range(len(batch["tokens"])):
        images = iter(batch["images"][row])
        for segment in range(1, batch["segments"][row].max() + 1):
            at = batch["segments"][row] == segment
            tokens, targets = (torch.tensor(batch[name][row][at]).long() for name in ("tokens", "targets"))
            seen: dict[str, Any] = {}
            if (tokens == token).any():
                seen = {
                    "pixel_values": torch.tensor(next(images))[None],
                    "token_type_ids": (tokens[None] == token).long(),
                }
            with torch.no_grad():
                logits = theirs(input_ids=tokens[None], **seen).logits[0]
            expected[row, at] = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    judged = batch["segments"] > 0
    np.testing.assert_allclose(ours[judged], expected[judged], rtol=0, atol=2e-4)
    assert np.abs(flipped - ours)[judged].max() > 0.1, "the images are hardly seen"
    total = float(jax.jit(total_loss)(model, batch))
    assert total == pytest.approx(float(np.sum(expected * batch["weights"])), rel=1e-5)


def test_gradients_are_of_the_adapter_alone_and_do_not_pass_through_the_tower(
    inputs: Path, batch: dict[str, np.ndarray]
) -> None:
    model, made = hf.load_model(inputs / "model"), config(inputs)
    add_adapters(made, model, MESH())
    parts, weights, base = lora.take_apart(model)
    assert weights and not [name for name in weights if name.startswith(TOWER)]

    def loss(weights: Any, base: Any) -> Any:
        return total_loss(parts.assemble(weights, base), batch)

    gradient = jax.jit(jax.grad(loss))(weights, base)
    assert gradient.keys() == weights.keys() and all(np.abs(g).max() > 0 for n, g in gradient.items() if ".b" in n[-3:])
    # The tower's products are counted by its hidden size, which nothing else has: backwards there are no more of them.
    hidden = seeing_judge._VISION["intermediate_size"]
    assert hidden not in seeing_judge._TEXT.values() and hidden not in batch["tokens"].shape
    forwards, both = (_products(jax.make_jaxpr(f)(weights, base).jaxpr, hidden) for f in (loss, jax.grad(loss)))
    assert forwards == both == 2  # up and down, in a scan over the layers
    decoder = seeing_judge._TEXT["intermediate_size"]
    assert _products(jax.make_jaxpr(jax.grad(loss))(weights, base).jaxpr, decoder) > 3


def _products(jaxpr: Any, size: int) -> int:
    """How many matrix products take an operand with an axis of this size."""
    found = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found += any(size in var.aval.shape for var in equation.invars)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                found += _products(inner, size) if hasattr(inner, "eqns") else 0
    return found


def test_training_changes_no_weight_of_the_judge(inputs: Path, trained: Trained) -> None:
    untouched = nnx.state(hf.load_model(inputs / "model"))
    for was, now in zip(jax.tree.leaves(untouched), jax.tree.leaves(trained.base), strict=True):
        np.testing.assert_array_equal(was, now)
    assert losses(trained.workdir)[-1] < losses(trained.workdir)[0]
    assert not [name for name in trained.state.trained if name.startswith(TOWER)]


def test_every_mesh_and_every_accumulation_gives_the_same_losses(
    inputs: Path, trained: Trained, tmp_path: Path
) -> None:
    made = config(inputs)
    loop.train(made, tmp_path / "mesh", mesh=sharding.make_mesh((2, 1, 2), jax.devices()[:4]))
    np.testing.assert_allclose(losses(tmp_path / "mesh"), losses(trained.workdir), rtol=0, atol=2e-5)
    made.train.update({"batch_size": 1, "accumulation": 4})
    loop.train(made, tmp_path / "accumulated", mesh=MESH())
    np.testing.assert_allclose(losses(tmp_path / "accumulated"), losses(trained.workdir), rtol=0, atol=2e-5)


def test_a_broken_run_goes_on_with_the_same_images(
    inputs: Path, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(inputs)
    left = iter([True] * 4)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_micro", lambda *args, micro=loop._micro: next(left) and micro(*args))
        with pytest.raises(StopIteration):
            loop.train(made, tmp_path, mesh=MESH())
    assert Checkpoints(tmp_path / "checkpoints").latest_step == 3
    loop.train(made, tmp_path, mesh=MESH())
    expected = adapter(made, trained.workdir)
    for name, value in adapter(made, tmp_path).items():
        assert value.tobytes() == expected[name].tobytes(), name


@pytest.mark.parametrize(
    ("data", "kind"),
    [({}, MedGemma), ({"images": False}, Gemma3), ({"train": "blind.jsonl"}, Gemma3)],
    ids=["seen", "not wanted", "none there"],
)
def test_the_tower_is_loaded_where_it_is_needed(
    data: dict[str, Any], kind: type, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(inputs, **{n: str(inputs / v) if isinstance(v, str) else v for n, v in data.items()})
    loaded: list[Any] = []
    monkeypatch.setattr(loop, "load_base", lambda *args, load=loop.load_base: loaded.append(load(*args)))
    with pytest.raises(TypeError):  # what it is to train with is kept from it
        loop.train(made, tmp_path, mesh=MESH())
    ((model, conversation),) = loaded
    assert type(model) is kind and (conversation.processor is not None) == (kind is MedGemma)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["train_images_sha256"] is not None) == (kind is MedGemma)


def test_images_are_refused_where_the_judge_cannot_see(inputs: Path, tmp_path: Path) -> None:
    made = config(inputs)
    made.model.path = str(random_judge.write_judge(tmp_path / "blind"))
    for file in ("train.jsonl", "blind.jsonl"):
        made.data.train = str(inputs / file)
        with pytest.raises(
            ValueError, match=r"^config\.data\.images=True, but .*blind has no vision tower; set it to F"
        ):
            loop.train(made, tmp_path / "work", mesh=MESH())
    assert not (tmp_path / "work").exists()


def test_another_image_is_another_run(tmp_path: Path) -> None:
    seeing_judge.write_judge(tmp_path / "model")
    write_pairs(tmp_path)
    made = config(tmp_path)
    made.train.update({"steps": 3})
    loop.train(made, tmp_path / "work", mesh=MESH())
    loop.train(made, tmp_path / "work", mesh=MESH())
    seeing_judge.write_image(next((tmp_path / "images").glob("*.png")), seed=77)
    with pytest.raises(ValueError, match=r"train\.jsonl: its images have changed since the run in .*work began; rest"):
        loop.train(made, tmp_path / "work", mesh=MESH())


def test_a_damaged_image_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    seeing_judge.write_judge(tmp_path / "model")
    write_pairs(tmp_path)
    file = next((tmp_path / "images").glob("*.png"))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"^pair 'p\d+': field 'image': the image is damaged") as caught:
        loop.train(config(tmp_path), tmp_path / "work", mesh=MESH())
    assert file.name not in str(caught.value) and not (tmp_path / "work").exists()
