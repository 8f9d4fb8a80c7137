"""What the code of other tools does with the metric."""

import pytest

import reeval
from reeval.score import callables
from reeval.score.metric import Scores
from reeval.score.scorer import Sample

REFERENCE = "No pleural effusion. The heart is normal."


def test_evaluate_combines_it(monkeypatch):
    evaluate = pytest.importorskip("evaluate.module")  # tests/evaluate would do for the name alone
    scores = Scores((Sample(pair_id="1", score=0.5, parse_status="ok"),), "s")
    monkeypatch.setattr(callables, "load_metric", lambda model: lambda **given: scores)
    both = evaluate.combine({"one": reeval.load_evaluate("any"), "other": reeval.load_evaluate("any")})
    both.add_batch(predictions=["0.5"], references=["a"])
    found = both.compute()
    assert found["one_mean"] == found["other_mean"] == 0.5


def test_trl_trains_on_it(tmp_path):
    """A step of its own trainer, from generated completions to logged rewards."""
    pytest.importorskip("torch")
    trl = pytest.importorskip("trl")
    pytest.importorskip("datasets")
    import datasets
    import transformers

    from reeval import embedded

    reward = reeval.load_reward("embedded", slots=2, max_answer_tokens=96)
    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded.DIRECTORY)
    policy = transformers.AutoModelForCausalLM.from_pretrained(embedded.DIRECTORY)
    rows = {"prompt": ["Write.", "Write more."] * 2, "reference": [REFERENCE, "Normal heart."] * 2}
    seen = []

    class Spy(trl.GRPOTrainer):
        def _calculate_rewards(self, *arguments):
            seen.append(super()._calculate_rewards(*arguments))
            return seen[-1]

    settings = {"per_device_train_batch_size": 2, "num_generations": 2, "max_completion_length": 12, "max_steps": 1}
    settings |= {"activation_checkpointing": False, "gradient_checkpointing": None}
    arguments = trl.GRPOConfig(str(tmp_path), use_cpu=True, report_to=[], bf16=False, save_strategy="no", **settings)
    trainer = Spy(
        model=policy,
        reward_funcs=reward,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    assert trainer.reward_func_names == ["reeval"]
    (rewards,) = seen
    assert rewards.shape == (2, 1)
    logged = trainer.state.log_history[0]
    assert "rewards/reeval/mean" in logged and "reeval/without_reward" in logged
    # Whatever the policy wrote, with what is known to have no reward.
    inputs = [{"prompt": "p", "reference": REFERENCE}, {"prompt": "p", "reference": REFERENCE}]
    found = trainer._calculate_rewards(inputs, ["p", "p"], ["No pleural effusion.", " "], [[1], [2]])
    assert 0 <= float(found[0, 0]) <= 1 and bool(found[1, 0].isnan())
