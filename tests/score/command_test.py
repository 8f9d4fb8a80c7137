"""`reeval score`: what is judged once is not judged again, whatever happens, and all shares make one table."""

import json

import pytest

from reeval import pairs
from reeval.score import command
from reeval.score.scorer import Sample, Settings, content_sha256


class Reader:
    """In place of a judge: finds a significant error where the texts differ, and notes what it was asked."""

    sees = False
    most = 40

    def __init__(self, settings, *, images):
        self.signature = f"mode:{settings.mode}"
        self.asked: list[str] = []
        LAST.append(self)

    def tokens(self, pair):
        return len(pair.reference)

    def most_tokens(self):
        return self.most

    def prepare(self, longest):
        assert longest <= self.most
        return type("Memory", (), {"total": 0})()

    def score(self, given):
        for pair in reversed(list(given)):  # not the order of the input
            self.asked.append(pair.pair_id)
            probability = float(pair.reference != pair.candidate)
            yield Sample(
                pair_id=pair.pair_id, score=1 - probability, significant=bool(probability), probability=probability,
                significant_errors=int(probability), insignificant_errors=0, errors=(), raw=("x",), parse_status="ok",
            )  # fmt: skip


LAST: list[Reader] = []


@pytest.fixture(autouse=True)
def reader(monkeypatch):
    monkeypatch.setattr(command, "Scorer", Reader)


def table_of(path, rows):
    path.write_text("id,reference,candidate\n" + "".join(f"{i},{r},{c}\n" for i, r, c in rows))
    return path


ROWS = [("a", "one", "one"), ("b", "two", "three"), ("c", "four", "four"), ("d", "five", "six")]


def run(tmp_path, rows=ROWS, out="o.jsonl", **options):
    path = table_of(tmp_path / "in.csv", rows)
    mode = options.pop("mode", "one_pass")
    command.score(Settings(model="m", mode=mode), path, tmp_path / out, **options)
    return LAST[-1].asked


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_come_out_in_the_order_of_the_input_and_are_private(tmp_path, capsys):
    run(tmp_path)
    rows = rows_of(tmp_path / "o.jsonl")
    assert [(row["id"], row["score"]) for row in rows] == [("a", 1.0), ("b", 0.0), ("c", 1.0), ("d", 0.0)]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("o.jsonl*")} == {0o600}
    said = capsys.readouterr()
    assert "mean score 0.5000 of 4 pairs" in said.out and not any(
        word in said.out + said.err for word in ("two", "three")
    )


def test_only_what_is_new_or_changed_is_judged(tmp_path):
    assert run(tmp_path) == ["d", "c", "b", "a"]
    assert run(tmp_path) == []
    changed = [ROWS[0], ("b", "two", "two"), *ROWS[2:], ("e", "x", "y")]
    assert sorted(run(tmp_path, changed)) == ["b", "e"]
    assert [row["score"] for row in rows_of(tmp_path / "o.jsonl")] == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_a_log_that_was_cut_short_loses_one_pair(tmp_path):
    run(tmp_path)
    log = tmp_path / "o.jsonl.log.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert run(tmp_path) == ["a"]


def test_another_signature_or_a_foreign_output_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"begun with other settings \(mode:one_pass, shares 1\)"):
        run(tmp_path, mode="two_pass")
    with pytest.raises(ValueError, match="other settings"):
        run(tmp_path, shares=2)
    (tmp_path / "mine.jsonl").write_text("precious")
    with pytest.raises(ValueError, match="exists, and mine.jsonl.settings.json does not"):
        run(tmp_path, out="mine.jsonl")
    assert (tmp_path / "mine.jsonl").read_text() == "precious"
    (tmp_path / "o.jsonl.settings.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        run(tmp_path)


def test_shares_make_one_table(tmp_path, capsys):
    assert run(tmp_path, shares=2, share=1) == ["d", "b"]
    assert "2 pairs of other shares are not" in capsys.readouterr().out and not (tmp_path / "o.jsonl").exists()
    assert run(tmp_path, shares=2, share=0) == ["c", "a"]
    assert [row["id"] for row in rows_of(tmp_path / "o.jsonl")] == list("abcd")
    with pytest.raises(ValueError, match="below shares=2"):
        run(tmp_path, shares=2, share=2)


def test_too_long_a_pair_is_refused_or_marked_and_never_cut(tmp_path):
    rows = [*ROWS, ("long", "w" * 41, "w")]
    with pytest.raises(ValueError, match=r"1 pairs have prompts of more than 40 tokens: long \(41\)"):
        run(tmp_path, rows)
    assert not list(tmp_path.glob("o.jsonl*"))
    assert "long" not in run(tmp_path, rows, too_long="mark")
    last = rows_of(tmp_path / "o.jsonl")[-1]
    assert (last["id"], last["score"], last["parse_status"]) == ("long", None, "too long: 41 tokens, at most 40")


def test_the_content_of_a_pair_is_both_texts_and_its_image(tmp_path):
    image = tmp_path / "i.png"
    image.write_bytes(b"1")
    texts = [("ab", "c"), ("a", "bc"), ("ab", "d")]
    made = [pairs.Pair("1", "1", *each, image=str(image)) for each in texts]
    digests = {content_sha256(pair, images=see) for pair in made for see in (True, False)}
    assert len(digests) == 6
    image.write_bytes(b"2")
    assert content_sha256(made[0], images=True) not in digests and content_sha256(made[0], images=False) in digests
