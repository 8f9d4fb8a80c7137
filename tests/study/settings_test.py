"""A study's config: every field has its type and range, and a mistake is named before work begins."""

import importlib.util
import runpy
from pathlib import Path

import pytest

from reeval.study import settings

ROOT = Path(__file__).parents[2]
GOOD = {
    "pairs": "p.jsonl", "cache": "", "seed": 0, "resamples": 200, "permutations": 200, "confidence": 0.95,
    "evaluators": {"bleu": {"kind": "scalar", "metric": "bleu"}, "a.b-c_1": {"kind": "judge", "model": "embedded"}},
}  # fmt: skip


def shipped():
    spec = importlib.util.spec_from_file_location("configs_study", ROOT / "configs" / "study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def test_a_copy_of_the_shipped_config_takes_names_of_models_with_dots(tmp_path):
    source = (ROOT / "configs" / "study.py").read_text()
    copy = tmp_path / "copy.py"
    copy.write_text(source.replace('"bleu": {', '"qwen2.5-7b": {'))
    assert "qwen2.5-7b" in settings.check(runpy.run_path(str(copy))["get_config"]())["evaluators"]


def with_evaluator(**fields):
    return {**GOOD, "evaluators": {"e": fields}}


def test_the_shipped_config_is_right_and_what_is_left_out_has_defaults():
    checked = settings.check(shipped())
    assert set(checked["evaluators"]) == {"embedded", "bleu", "chrf", "rougeL"}
    assert (ROOT / checked["pairs"]).is_file()
    made = settings.check(GOOD)["evaluators"]["a.b-c_1"]
    assert made["modes"] == ("one_pass", "two_pass") and made["slots"] == 32 and made["mesh"] == (-1, 1, 1)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({**GOOD, "paris": "x"}, "unknown field 'paris'; did you mean 'pairs'?"),
        ({name: value for name, value in GOOD.items() if name != "seed"}, "config.seed is missing"),
        ({**GOOD, "confidence": 95}, "config.confidence=95 must be above 0.5 and below 1"),
        ({**GOOD, "seed": "0"}, "config.seed='0' must be a whole number"),
        ({**GOOD, "evaluators": {}}, "at least one evaluator"),
        ({**GOOD, "evaluators": 3}, "at least one evaluator"),
        ({**GOOD, "evaluators": {"a/b": {}}}, "'a/b' is no name"),
        ({**GOOD, "evaluators": {"..": {}}}, "'..' is no name"),
        ({**GOOD, "evaluators": {"A": {}, "a": {}}}, "differ only in capitals"),
        ({**GOOD, "evaluators": {"a": 3}}, "config.evaluators.a must have fields"),
        (with_evaluator(), "config.evaluators.e.kind=None is not one of judge, endpoint, stored, scalar"),
        (with_evaluator(kind="judge"), "config.evaluators.e.model is missing"),
        (with_evaluator(kind="judge", model="m", slot=3), "unknown field 'slot'; did you mean 'slots'?"),
        (with_evaluator(kind="judge", model="m", slots=0), "config.evaluators.e.slots=0 must be at least 1"),
        (with_evaluator(kind="judge", model="m", modes=()), "config.evaluators.e.modes=() must be"),
        (with_evaluator(kind="judge", model="m", modes=("onepass",)), "must be ('one_pass', 'two_pass')"),
        (with_evaluator(kind="judge", model="m", modes="one_pass"), "as a tuple"),
        (with_evaluator(kind="scalar", metric="bleu", modes=("one_pass",)), "unknown field 'modes'"),
        (with_evaluator(kind="scalar", metric="rouge"), "is not one of bleu, chrf"),
        (with_evaluator(kind="stored", format="xml"), "is not one of judgements, text"),
        (with_evaluator(kind="endpoint", base_url="x", model="m", timeout=0), "timeout=0 must be above 0"),
        (with_evaluator(kind="endpoint", base_url="x", model="m", allow_remote="yes"), "must be True or False"),
    ],
)
def test_a_mistake_is_named_with_its_field(config, said):
    with pytest.raises(ValueError) as caught:
        settings.check(config)
    assert said in str(caught.value)


def test_an_evaluator_that_cannot_be_made_is_named(tmp_path):
    checked = settings.check(with_evaluator(kind="judge", model=str(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match=r"^evaluator e: .*nowhere"):
        settings.evaluators(checked, [], tmp_path)
