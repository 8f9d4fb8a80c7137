import functools

import pytest

from reeval import progress


def test_without_a_terminal_lines_come_now_and_then_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress("train", 50, done=10) as advance:
        for finished in range(11, 51):
            now += 1.0
            advance(finished, f"loss {finished}")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert "\x1b" not in err and lines[-1] == "train 50/50 loss 50"
    assert 4 <= len(lines) <= 6 and lines[1] == "train 21/50 loss 21 29 s left"


@pytest.mark.parametrize(("seconds", "said"), [(9.6, "10 s"), (600, "10 min"), (9000, "2.5 h")])
def test_what_is_left_is_said_in_a_fitting_unit(seconds: float, said: str) -> None:
    assert progress._span(seconds) == said


def test_what_is_not_shown_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("train", 2, shown=False) as advance:
        advance(2, "done")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = functools.partial(progress.Console, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "Console", terminal)
    with progress.progress("base one_pass", 8, done=2) as advance:
        advance(8, "done")
    out, err = capsys.readouterr()
    assert out == "" and "base one_pass" in err and "8/8" in err and "done" in err
