"""Judging with images: transformers' greedy answers, and a judge that tells pairs apart by the image alone."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import seeing_judge
from flax import nnx
from ml_collections import ConfigDict
from PIL import Image

from configs import tiny
from reeval import hf, pairs, prompts, sharding
from reeval.data import batches
from reeval.data.conversation import Conversation
from reeval.evaluate import evaluation
from reeval.evaluate.judge import Judge
from reeval.models import Gemma3, MedGemma
from reeval.pairs import Error, Pair
from reeval.prompts import MODES
from reeval.train import loop
from reeval.train.objective import sft_loss

MESH = sharding.single_device_mesh
LENGTH, MAX_ANSWER, STEPS = 128, 40, 220


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeing_judge.write_judge(tmp_path_factory.mktemp("judge"))


def conversation(directory: Path) -> Conversation:
    tokenizer = hf.load_tokenizer(directory)
    return Conversation(tokenizer, "compact-1", hf.load_processor(directory, tokenizer))


def judge(directory: Path, *, mesh: Any = None, **changes: Any) -> tuple[Judge, nnx.State]:
    on = mesh or MESH()
    graph, weights = nnx.split(hf.load_model(directory, mesh=on))
    options = {"slots": 4, "max_prompt_tokens": LENGTH, "max_answer_tokens": MAX_ANSWER} | changes
    return Judge(graph, conversation(directory), on, **options), weights


def rows(made: tuple[Judge, nnx.State], given: list[Pair], mode: str) -> dict[str, dict[str, Any]]:
    return {row["pair_id"]: row for row in made[0].judge(made[1], given, mode)}


SIDE = Error("inaccuracy", "laterality", "left", "right", "significant")
SIZE = Error("inaccuracy", "laterality", "left", "right", "insignificant")


def told_by_the_image(directory: Path) -> list[Pair]:
    """Pairs of one wording, so that nothing but the image tells the significant from the insignificant."""
    made = []
    for i in range(6):
        image = seeing_judge.write_image(directory / f"{i}.png", seed=i)
        error = SIDE if i % 2 else SIZE
        made.append(Pair(f"p{i}", f"r{i}", "left one", "right one", (error,), image=str(image)))
    # And one without, which shares slots with them.
    made.append(Pair("blind", "r", "left one", "right one", ()))
    return made


@pytest.fixture(scope="module")
def taught(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Pair]]:
    """A judge whose decoder has learned by heart what the images of some pairs mean, and the pairs."""
    made = told_by_the_image(tmp_path_factory.mktemp("images"))
    model, spoken = hf.load_model(directory), conversation(directory)
    examples = batches.training_examples(spoken, made, length=LENGTH, severity_weight=4.0)
    data = iter(batches.packed(examples, length=LENGTH, rows=8, two_pass_share=0.5, seed=0))
    is_decoder = lambda path, _: path[0] not in ("vision", "projector")  # noqa: E731
    graph, weights, tower = nnx.split(model, nnx.All(nnx.Param, is_decoder), ...)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(6e-3, STEPS)))

    @jax.jit
    def step(weights: Any, state: Any, batch: Any) -> Any:
        def loss(weights: Any) -> Any:
            model = nnx.merge(graph, weights, tower)
            sums = sft_loss(model, batch, key=None, remat="none", chunk=LENGTH)[1]
            total, weight = sums["loss"]
            return total / weight

        value, gradient = jax.value_and_grad(loss)(weights)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, updates), state, value

    state = optimizer.init(weights)
    for _ in range(STEPS):
        weights, state, value = step(weights, state, jax.tree.map(jnp.asarray, next(data)))
    assert value < 0.03, f"the judge has not learned its images: loss {value}"
    nnx.update(model, weights)
    out = tmp_path_factory.mktemp("taught") / "judge"
    hf.save_model(out, model, spoken.tokenizer)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (out / name).write_bytes((directory / name).read_bytes())
    return out, made


def test_greedy_answers_are_those_of_transformers_on_its_own_processors_input(
    taught: tuple[Path, list[Pair]],
) -> None:
    torch = pytest.importorskip("torch")
    from transformers import Gemma3ForConditionalGeneration, Gemma3ImageProcessorPil, Gemma3Processor

    directory, given = taught
    theirs = Gemma3ForConditionalGeneration.from_pretrained(directory).eval()
    made = judge(directory, grammar=False)
    ours = made[0].conversation
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil.from_pretrained(directory), ours.tokenizer, image_seq_length=seeing_judge.TOKENS
    )
    found = rows(made, given, "one_pass")
    for pair in given:
        messages = prompts.first_messages("compact-1", "one_pass", pair, image=pair.image is not None)
        text = ours.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        image = {} if pair.image is None else {"images": Image.open(pair.image)}
        inputs = processor(text=text, **image, add_special_tokens=False, do_convert_rgb=True, return_tensors="pt")
        with torch.no_grad():
            out = theirs.generate(
                **inputs, do_sample=False, max_new_tokens=MAX_ANSWER, eos_token_id=ours.end, pad_token_id=0
            )
        answer = out[0, inputs["input_ids"].shape[1] :].tolist()
        assert found[pair.pair_id]["raw"] == [ours.text(answer)], pair.pair_id
    assert len({row["raw"][0] for row in found.values()}) == 3, "the images are not seen"
    # The rows say what they always said, and how likely it was.
    assert set(found["p0"]) == {
        "pair_id", "reference_id", "mode", "raw", "parse_status", "errors", "significant", "probability",
        "probabilities", "gold", "identical",
    }  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_a_trained_judge_tells_pairs_apart_by_the_image_alone(taught: tuple[Path, list[Pair]], mode: str) -> None:
    found = rows(judge(taught[0]), taught[1], mode)
    for pair in taught[1]:
        row = found[pair.pair_id]
        assert (row["parse_status"], row["significant"]) == ("ok", pair.significant), pair.pair_id
    # With each other's images they are judged as each other.
    images = [pair.image for pair in taught[1][:6]]
    exchanged = [dataclasses.replace(p, image=i) for p, i in zip(taught[1], images[1:] + images[:1], strict=False)]
    found = rows(judge(taught[0]), exchanged, mode)
    for pair in exchanged:
        assert found[pair.pair_id]["significant"] != pair.significant, pair.pair_id


@pytest.mark.parametrize(("slots", "mesh"), [(1, (1, 1, 1)), (9, (1, 1, 1)), (4, (2, 1, 2))])
def test_neither_slots_nor_order_nor_mesh_changes_a_verdict(
    taught: tuple[Path, list[Pair]], slots: int, mesh: tuple[int, int, int]
) -> None:
    on = sharding.make_mesh(mesh, jax.devices()[: np.prod(mesh)])
    shuffled = [taught[1][i] for i in (3, 6, 0, 5, 1, 4, 2)]
    found = rows(judge(taught[0], slots=slots, mesh=on), shuffled, "two_pass")
    expected = rows(judge(taught[0]), taught[1], "two_pass")
    for name, row in expected.items():
        probable = {field: pytest.approx(row[field], abs=1e-4) for field in ("probability", "probabilities")}
        assert found[name] == row | probable
    assert found.keys() == expected.keys()


def config(taught: tuple[Path, list[Pair]], directory: Path, *, images: bool) -> ConfigDict:
    made = tiny.get_config()
    made.model.path = str(taught[0])
    for field, name in ((made.data, "train"), (made.eval, "pairs")):
        field[name] = str(directory / f"{name}.jsonl")
    made.data.update({"images": images, "sequence_length": LENGTH})
    # Hardly trained: what the judge says is still what it has learned by heart.
    made.train.update({"steps": 2, "batch_size": 2, "warmup_steps": 1, "learning_rate": 1e-6})
    made.eval.update({"slots": 4, "max_prompt_tokens": LENGTH, "max_answer_tokens": MAX_ANSWER, "base": False})
    return made


def test_an_evaluation_sees_images_if_it_is_told_to_and_says_which(
    taught: tuple[Path, list[Pair]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [dataclasses.replace(pair, image=pair.image and str(copy(Path(pair.image), tmp_path))) for pair in taught[1]]
    for name in ("train", "pairs"):
        pairs.write(tmp_path / f"{name}.jsonl", own)
    loaded: list[type] = []
    load_base = evaluation.load_base

    def spy(*args: Any) -> Any:
        made = load_base(*args)
        loaded.append(type(made[0]))
        return made

    monkeypatch.setattr(evaluation, "load_base", spy)
    seeing, blind = (config(taught, tmp_path, images=images) for images in (True, False))
    results = {}
    for made, name in ((seeing, "seeing"), (blind, "blind")):
        loop.train(made, tmp_path / name, mesh=MESH())
        results[name] = evaluation.evaluate(made, tmp_path / name, mesh=MESH())
    assert loaded == [MedGemma, Gemma3]
    for mode in MODES:
        right, chance = (results[name]["judges"]["tuned"]["modes"][mode] for name in ("seeing", "blind"))
        assert (right["D"]["percent"], right["R"]["percent"]) == (100, 100)
        assert chance["D"]["right"] in (0, 3), "it tells apart what it cannot see"
    # An adapter that was trained with images may judge without, and is then not the same judge.
    with pytest.raises(ValueError, match=r"holds verdicts made with other settings \(images_sha256\)"):
        evaluation.evaluate(blind, tmp_path / "seeing", mesh=MESH())
    settings = json.loads((tmp_path / "blind/eval/step-000002/one_pass/verdicts.settings.json").read_text())
    assert settings["images_sha256"] is None and results["seeing"]["settings"]["images_sha256"]
    seeing_judge.write_image(Path(own[2].image), seed=55)
    with pytest.raises(ValueError, match=r"\(images_sha256\)"):
        evaluation.evaluate(seeing, tmp_path / "seeing", mesh=MESH())
    Path(own[3].image).write_bytes(b"")
    with pytest.raises(ValueError, match=r"^pair 'p3': field 'image': the image is damaged"):
        evaluation.evaluate(seeing, tmp_path / "seeing", mesh=MESH())


def copy(file: Path, to: Path) -> Path:
    (to / file.name).write_bytes(file.read_bytes())
    return to / file.name
