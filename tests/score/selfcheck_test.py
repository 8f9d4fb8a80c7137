"""`reeval selfcheck` agrees here, and says what differs where something does."""

import dataclasses
import json

import pytest

from reeval import cli
from reeval.score import selfcheck
from reeval.score.metric import Scores
from reeval.score.scorer import Sample

SHIPPED = json.loads(selfcheck.FIGURES.read_text())["modes"]
SIGNATURE = SHIPPED["one_pass"]["signature"].replace("one_pass", "MODE")
FIRST = next(iter(SHIPPED["one_pass"]["pairs"]))


class Echo:
    """Judges that say what the shipped figures hold, changed by `change(mode, slots, sample)`."""

    def __init__(self, change=lambda mode, slots, sample: sample, signature=SIGNATURE):
        self.change, self.signature = change, signature

    def __call__(self, *, mode, slots, **settings):
        shipped = SHIPPED[mode]["pairs"]

        def metric(*, references, candidates, ids):
            assert len(references) == len(candidates) == len(ids)
            samples = [
                Sample(pair_id=i, score=0.0, significant=shipped[i][0], probability=shipped[i][1], parse_status="ok")
                for i in ids
            ]
            changed = tuple(self.change(mode, slots, sample) for sample in samples)
            return Scores(changed, self.signature.replace("MODE", mode))

        return metric


def run(monkeypatch, capsys, echo, *flags):
    monkeypatch.setattr(selfcheck, "load_metric", echo)
    code = cli.main(["selfcheck", *flags])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_pairs_are_of_both_kinds_and_as_the_figures_name_them():
    held = selfcheck.bundled()
    assert sum(pair.significant for pair in held) == 24
    assert sum(not pair.significant and not pair.identical for pair in held) == 24
    assert len({pair.reference_id for pair in held}) == sum(pair.identical for pair in held)
    for figures in SHIPPED.values():
        assert list(figures["pairs"]) == [pair.pair_id for pair in held]
        assert [figures[name][1] for name in ("D", "R", "itself")] == [24, 24, len(held) - 48]
        said = [significant for significant, _ in figures["pairs"].values()]
        assert figures["D"][0] == sum(said[:24]) and figures["R"][0] == 24 - sum(said[24:48])


def test_what_is_as_shipped_passes_whatever_the_version(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, Echo(signature=SIGNATURE.replace("reeval:0", "reeval:99")))
    assert (code, err) == (0, "")
    assert "reeval:99" in out and out.count("0 other verdicts, probabilities within 0.0e+00") == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"significant": False}, "two_pass and what is shipped differ in 1 verdicts; two_pass: D is [23, 24]"),
        ({"probability": 0.5}, "in a probability, more than 0.001"),
        ({"significant": None, "probability": None, "score": None}, "two_pass: 1 pairs have no score"),
    ],
)
def test_one_other_pair_in_one_mode_is_said(monkeypatch, capsys, change, said):
    def changed(mode, slots, sample):
        here = mode == "two_pass" and sample.pair_id == FIRST
        return dataclasses.replace(sample, **change) if here else sample

    code, _, err = run(monkeypatch, capsys, Echo(changed))
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith("reeval: ") and said in line and "one_pass" not in line


def test_a_judge_whose_verdicts_depend_on_slots_is_told(monkeypatch, capsys):
    def changed(mode, slots, sample):
        return dataclasses.replace(sample, significant=not sample.significant) if slots == 5 else sample

    code, _, err = run(monkeypatch, capsys, Echo(changed))
    assert code == 1 and "another order and other slots differ in 79 verdicts" in err


def test_in_bfloat16_probabilities_may_lie_further_off(monkeypatch, capsys):
    def changed(mode, slots, sample):
        return dataclasses.replace(sample, probability=abs(sample.probability - 0.01))

    rounded = Echo(changed, SIGNATURE.replace("dtype:as stored", "dtype:bfloat16"))
    assert run(monkeypatch, capsys, rounded, "--dtype=bfloat16")[0] == 0
    assert run(monkeypatch, capsys, rounded)[0] == 1


def test_another_judge_is_compared_with_no_figures_but_must_find_nothing_in_a_reference_itself(monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, Echo(), "--model=elsewhere")
    assert code == 1 and "shipped" not in out + err
    assert "of 31 references against themselves have a significant error" in err

    def clean(mode, slots, sample):
        return dataclasses.replace(sample, significant=False) if sample.pair_id.startswith("itself-") else sample

    assert run(monkeypatch, capsys, Echo(clean), "--model=elsewhere")[0] == 0


def test_figures_of_another_judge_or_other_pairs_are_told(monkeypatch, capsys, tmp_path):
    code, _, err = run(monkeypatch, capsys, Echo(signature=SIGNATURE.replace("prompt:compact-1", "prompt:other")))
    assert code == 1 and "one_pass: the shipped figures are of another signature" in err
    figures = json.loads(selfcheck.FIGURES.read_text())
    figures["modes"]["one_pass"]["pairs"].popitem()
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    monkeypatch.setattr(selfcheck, "FIGURES", tmp_path / "figures.json")
    code, _, err = run(monkeypatch, capsys, Echo())
    assert code == 1 and "one_pass: the shipped figures are of other pairs" in err and "two_pass" not in err


def test_what_it_writes_is_what_is_shipped(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, capsys, Echo(), f"--write={tmp_path / 'made.json'}")[0] == 0
    assert json.loads((tmp_path / "made.json").read_text())["modes"] == SHIPPED


@pytest.mark.slow
def test_the_embedded_judge_scores_here_as_shipped(capsys):
    assert cli.main(["selfcheck"]) == 0, capsys.readouterr().err
