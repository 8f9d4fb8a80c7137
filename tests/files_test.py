import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reeval.files import LineLog, write_atomically

ROWS = [{"pair_id": "a", "raw": ['two\nlines, é " \\ \u2028']}, {"pair_id": "b", "raw": []}, {"pair_id": "c", "n": 1.5}]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_log_cut_at_any_byte_goes_on_after_its_last_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    log = LineLog(path)
    log.append(ROWS[:2])
    log.append(ROWS[2:])
    log.close()
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    assert len(ends) == len(ROWS), "a row is one line"
    for cut in range(len(content) + 1):
        broken = tmp_path / "cut.jsonl"
        broken.write_bytes(content[:cut])
        log = LineLog(broken)
        kept = sum(end <= cut for end in ends)
        assert log.rows == ROWS[:kept]
        log.append(ROWS[kept:])
        assert log.rows == ROWS
        log.close()
        assert broken.read_bytes() == content


def test_a_log_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        LineLog(tmp_path / "new" / "log.jsonl").close()
        write_atomically(tmp_path / "results.json", "{}")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new" / "log.jsonl") == mode(tmp_path / "results.json") == 0o600


def test_rows_are_in_the_file_when_append_returns(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib; from reeval.files import LineLog; log = LineLog(pathlib.Path(sys.argv[1]));"
        "log.append([{'n': 1}]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "log.jsonl"
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == -signal.SIGKILL
    log = LineLog(path)  # the lock has gone with its process
    assert log.rows == [{"n": 1}]
    log.close()


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match=r"log\.jsonl: another process is writing it"):
        LineLog(tmp_path / "log.jsonl")
    log.append(ROWS)
    log.close()
    again = LineLog(tmp_path / "log.jsonl")
    assert again.rows == ROWS
    again.close()


@pytest.mark.parametrize("line", ["{", "[]", "\0\0"])
def test_a_damaged_line_is_named_and_nothing_is_lost(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    text = f'{{"secret": 1}}\n{line}\n{{"half'
    path.write_text(text)
    with pytest.raises(ValueError, match=r"log\.jsonl:2: damaged") as caught:
        LineLog(path)
    assert "secret" not in str(caught.value) and path.read_text() == text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, json.dumps(ROWS))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
