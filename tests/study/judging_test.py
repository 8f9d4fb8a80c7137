"""What is judged once is not judged again: kills, changed pairs, other settings, evaluators that fail."""

import dataclasses
import json
import stat

import pytest

from reeval import judgements
from reeval.evaluators.evaluator import NO_ANSWER, text_sha256
from reeval.judgements import Judgement
from reeval.pairs import Pair
from reeval.study import judging

PAIRS = [Pair(f"p{n}", f"r{n}", f"Quagga {n}.", f"Quaggas {n}.", errors=()) for n in range(6)]


class Fake:
    """Finds nothing anywhere, and notes whom it was asked about; `fails` and `silent` are pair ids."""

    kind = "judge"
    modes = ("one_pass",)

    def __init__(self, keeps=True, fails=(), silent=(), version="1"):
        self.keeps, self.fails, self.silent, self.version = keeps, fails, silent, version
        self.asked = []

    def identity(self, mode):
        return {"version": self.version, "mode": mode}

    def content(self, pair):
        return text_sha256(pair.reference, pair.candidate)

    def judge(self, pairs, mode):
        for pair in reversed(pairs):
            self.asked.append(pair.pair_id)
            if pair.pair_id in self.fails:
                raise ConnectionError("the server is gone")
            if pair.pair_id in self.silent:
                yield Judgement(pair.pair_id, f"{NO_ANSWER}: HTTP 500")
            else:
                yield Judgement(pair.pair_id, "ok", ("none",), errors=(), significant=False)


def judge(tmp_path, evaluator, pairs=PAIRS):
    return judging.judge(evaluator, "fake", "one_pass", pairs, tmp_path), evaluator.asked


def test_judgements_come_in_the_order_of_the_pairs_and_stand_in_private_files(tmp_path, capsys):
    made, asked = judge(tmp_path, Fake())
    assert [each.pair_id for each in made] == [pair.pair_id for pair in PAIRS] and len(asked) == 6
    folder = tmp_path / "judgements" / "fake"
    assert judgements.read(folder / "one_pass.jsonl") == made
    assert json.loads((folder / "one_pass.settings.json").read_text())["identity"] == {
        "version": "1",
        "mode": "one_pass",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    said = capsys.readouterr()
    assert "Quagga" not in said.out + said.err


def test_only_what_is_new_or_changed_is_judged(tmp_path):
    judge(tmp_path, Fake())
    assert judge(tmp_path, Fake())[1] == []
    changed = [
        dataclasses.replace(PAIRS[1], candidate="Other."),
        *PAIRS[2:],
        dataclasses.replace(PAIRS[0], pair_id="new"),
    ]
    asked = judge(tmp_path, Fake(), changed)[1]
    assert sorted(asked) == ["new", "p1"]
    folder = tmp_path / "judgements" / "fake"
    assert [each.pair_id for each in judgements.read(folder / "one_pass.jsonl")] == [
        "p1",
        "p2",
        "p3",
        "p4",
        "p5",
        "new",
    ]


def test_what_was_judged_before_a_failure_is_kept(tmp_path):
    with pytest.raises(ConnectionError):
        judge(tmp_path, Fake(fails=["p2"]))
    assert not (tmp_path / "judgements" / "fake" / "one_pass.jsonl").exists()
    made, asked = judge(tmp_path, Fake())
    assert asked == ["p2", "p1", "p0"] and len(made) == 6


def test_a_pair_without_answer_is_asked_again_the_next_time(tmp_path, capsys):
    made, _ = judge(tmp_path, Fake(silent=["p4", "p1"]))
    assert made[4].parse_status == "no answer: HTTP 500"
    assert "fake one_pass: 2 pairs got no answer; the same command asks for them again" in capsys.readouterr().err
    made, asked = judge(tmp_path, Fake())
    assert sorted(asked) == ["p1", "p4"] and {each.parse_status for each in made} == {"ok"}


def test_a_log_that_was_cut_short_loses_one_pair(tmp_path):
    judge(tmp_path, Fake())
    log = tmp_path / "judgements" / "fake" / "one_pass.log.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert judge(tmp_path, Fake())[1] == ["p0"]


def test_other_settings_and_damaged_files_are_refused(tmp_path):
    judge(tmp_path, Fake())
    with pytest.raises(ValueError, match=r"were made with version=1, not 2; move .*fake away") as caught:
        judge(tmp_path, Fake(version="2"))
    assert "\n" not in str(caught.value)
    path = tmp_path / "judgements" / "fake" / "one_pass.settings.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match="damaged; move it"):
        judge(tmp_path, Fake())
    path.unlink()
    with pytest.raises(ValueError, match="missing, though judgements lie beside it"):
        judge(tmp_path, Fake())


def test_settings_without_a_judgement_give_way(tmp_path):
    with pytest.raises(ConnectionError):
        judge(tmp_path, Fake(fails=["p5"]))
    assert len(judge(tmp_path, Fake(version="2"))[1]) == 6


def test_a_cheap_evaluator_is_asked_each_time_and_leaves_no_log(tmp_path):
    judge(tmp_path, Fake(keeps=False))
    assert len(judge(tmp_path, Fake(keeps=False, version="2"))[1]) == 6
    assert [path.name for path in (tmp_path / "judgements" / "fake").iterdir()] == ["one_pass.jsonl"]
