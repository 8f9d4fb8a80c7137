"""Losses over preferences: by hand, and beside TRL's trainer on the same random checkpoint."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import random_judge
from flax import nnx

from reeval import hf, lora
from reeval.data.conversation import Conversation
from reeval.data.preferences import PreferredRows
from reeval.train.objective import preference_loss, verdict_losses
from reeval.train.preference import Answers, Preference, kl, losses

PLAIN = {"kind": "sigmoid", "beta": 0.5, "label_smoothing": 0.0, "length_normalised": False, "sft_weight": 0.0}
ONE = jnp.ones(1)


def value(policy: tuple[float, float], reference: tuple[float, float] = (0.0, 0.0), **options: Any) -> float:
    given = (Answers(*(x * ONE for x in each)) for each in (policy, reference, (4.0, 2.0)))
    loss, _ = losses(*given, Preference(**(PLAIN | options)))
    return float(loss[0])


def test_values_by_hand() -> None:
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    # delta is (-2 - -3) - (-6 - -5) = 2.
    policy, reference = (-2.0, -6.0), (-3.0, -5.0)
    assert value((-1.0, -1.0)) == pytest.approx(math.log(2))
    assert value(policy, reference) == pytest.approx(softplus(-1.0))
    smoothed = 0.9 * softplus(-1.0) + 0.1 * softplus(1.0)
    assert value(policy, reference, label_smoothing=0.1) == pytest.approx(smoothed)
    robust = (0.9 * softplus(-1.0) - 0.1 * softplus(1.0)) / 0.8
    assert value(policy, reference, kind="robust", label_smoothing=0.1) == pytest.approx(robust)
    assert value(policy, reference, kind="ipo") == pytest.approx((2.0 - 1.0) ** 2)
    # A token 1/4 of the chosen and 1/2 of the rejected.
    assert value(policy, reference, length_normalised=True) == pytest.approx(softplus(-0.5 * (0.25 + 0.5)))
    assert value(policy, reference, sft_weight=3.0) == pytest.approx(softplus(-1.0) + 3.0 * 2.0 / 4.0)


def test_what_is_said_of_each() -> None:
    policy, reference = Answers(-2 * ONE, -6 * ONE), Answers(-3 * ONE, -5 * ONE)
    _, said = losses(policy, reference, Answers(ONE, ONE), Preference(**PLAIN))
    assert {name: float(x[0]) for name, x in said.items()} == {
        "margin": 1.0,
        "accuracy": 1.0,
        "chosen_log_probability": -2.0,
        "rejected_log_probability": -6.0,
    }


def test_kl_is_that_of_the_policys_own_samples() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    estimate = sum(p * np.asarray(kl(jnp.log(p), jnp.log(q))))
    assert estimate == pytest.approx(sum(p * np.log(p / q)), rel=1e-5)
    assert float(kl(jnp.log(0.3), jnp.log(0.3))) == 0.0


def test_ipo_knows_no_smoothing() -> None:
    with pytest.raises(ValueError, match="config.preference.kind='ipo' knows no label smoothing"):
        Preference(**(PLAIN | {"kind": "ipo", "label_smoothing": 0.1}))


LENGTH, PAIRS = 512, 3
# Ours -> TRL's arguments. Its sigmoid is never smoothed, and its unpaired AOT is that for one preference alone.
SAME = [
    ({}, {"loss_type": ["sigmoid"]}),
    ({"beta": 0.1}, {"loss_type": ["sigmoid"], "beta": 0.1}),
    ({"label_smoothing": 0.2}, {"loss_type": ["aot_unpaired"], "label_smoothing": 0.2}),
    ({"kind": "robust", "label_smoothing": 0.2}, {"loss_type": ["robust"], "label_smoothing": 0.2}),
    ({"length_normalised": True}, {"loss_type": ["sigmoid_norm"]}),
    ({"kind": "ipo", "length_normalised": True}, {"loss_type": ["ipo"]}),
    ({"sft_weight": 0.7}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]}),
]


@pytest.mark.filterwarnings("ignore")  # of what TRL and datasets do to each other and to transformers
@pytest.mark.parametrize(("ours", "theirs"), SAME, ids=lambda x: "-".join(map(str, x.get("loss_type", x))))
def test_losses_and_gradients_are_those_of_trl(
    ours: dict[str, Any], theirs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    base = random_judge.write_judge(tmp_path / "base")
    model: Any = hf.load_model(base)
    settings = lora.LoRAConfig(rank=3, alpha=6.0)
    lora.add(model, settings, hf.module_name, rngs=nnx.Rngs(0))
    noise = np.random.default_rng(0)
    parts, adapter, rest = lora.take_apart(model)
    started, moved = (
        {n: jnp.asarray(noise.normal(size=x.shape) * 0.2, jnp.float32) for n, x in adapter.items()} for _ in range(2)
    )
    for name, weights in (("reference", started), ("policy", moved)):
        hf.save_adapter(tmp_path / name, base, weights, settings)

    # Preferences of which the chosen answers have one length: TRL's SFT term is a mean over tokens, ours over answers.
    conversation = Conversation(hf.load_tokenizer(base), "compact-1")
    pair, *others = random_judge.pairs(PAIRS)
    answers = [("none", "significant | omission"), ("none", "none none"), ("none", "insignificant")]
    prompts = [pair] if "aot_unpaired" in theirs["loss_type"] else [pair, *others]
    examples = [
        conversation.preferred("one_pass", p, [chosen], [rejected])
        for p, (chosen, rejected) in zip(prompts, answers[: len(prompts)], strict=True)
    ]
    rows = PreferredRows(examples, length=LENGTH, seed=0)

    def batch_of(reference: Any) -> dict[str, jax.Array]:
        made = next(iter(rows.stream(1, reference, [0])))
        assert set(np.unique(made.pop("examples"))) == {0, *range(1, len(prompts) + 1)}, "all of them share a row"
        return {name: jnp.asarray(value) for name, value in made.items()}

    def log_probabilities(weights: Any, batch: dict[str, jax.Array]) -> jax.Array:
        return -verdict_losses(parts.assemble(weights, rest), batch, None, remat="none", chunk=64)

    ((numbers, once),) = rows.once(1, [0])
    scored = np.asarray(log_probabilities(started, {name: jnp.asarray(x) for name, x in once.items()}))
    reference = dict(rows.of(numbers[0], scored[0]))
    batch = batch_of([reference[n] for n in range(len(prompts))])
    options = Preference(**(PLAIN | ours))

    def loss(weights: Any) -> jax.Array:
        model = parts.assemble(weights, rest)
        kinds = {"options": options, "segments": rows.segments, "remat": "none", "chunk": 64}
        total, sums = preference_loss(model, batch, None, **kinds)
        return total / sums["loss"][1]

    value, gradient = jax.value_and_grad(loss)(moved)
    hf.save_adapter(tmp_path / "gradient", base, gradient, settings)

    policy = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    policy = peft.PeftModel.from_pretrained(policy, tmp_path / "reference", is_trainable=True)
    monkeypatch.setattr(trl.DPOTrainer, "_prepare_dataset", lambda self, dataset, *rest: dataset)
    args = trl.DPOConfig(output_dir=str(tmp_path / "trl"), report_to=[], use_cpu=True, **({"beta": 0.5} | theirs))
    # The trainer takes the adapter that it is given for its reference. What it trains on is given to it below.
    # With a fingerprint, as dill cannot make one of what newer pyarrows hold.
    table = datasets.table.InMemoryTable.from_pydict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    nothing = datasets.Dataset(table, fingerprint="none")
    tokenizer = AutoTokenizer.from_pretrained(base)
    trainer = trl.DPOTrainer(policy, args=args, train_dataset=nothing, processing_class=tokenizer)
    peft.set_peft_model_state_dict(trainer.model, load_file(tmp_path / "policy" / "adapter_model.safetensors"))
    inputs = trainer.data_collator(
        [
            {
                "prompt_ids": [*map(int, e.prompt), int(e.chosen.tokens[0])],
                "chosen_ids": [*map(int, e.chosen.tokens[1:])],
                "rejected_ids": [*map(int, e.rejected.tokens[1:])],
            }
            for e in examples
        ]
    )
    expected = trainer.compute_loss(trainer.model, inputs)
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), rel=1e-5)
    got = load_file(tmp_path / "gradient" / "adapter_model.safetensors")
    gradients = {n.replace(".default", ""): p.grad for n, p in trainer.model.named_parameters() if p.grad is not None}
    assert got.keys() == gradients.keys()
    largest = max(float(g.abs().max()) for g in gradients.values())
    assert largest > 1e-3
    for name, gradient in gradients.items():
        np.testing.assert_allclose(got[name], gradient.numpy(), atol=1e-5, err_msg=name)
