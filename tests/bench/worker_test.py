"""Another process for a side: its results come back, and so do its mistakes, without words of reports."""

import os

import pytest
from counting_side import Counter

from reeval.bench.worker import peak_resident, worker


def test_a_side_lives_in_a_process_of_its_own():
    with worker(Counter, 5, environment={"REEVAL_TEST": "set"}) as counter:
        assert (counter("add", 2), counter("add", 3)) == (7, 10)
        pid, setting = counter("process")
    assert pid != os.getpid() and setting == "set" and "REEVAL_TEST" not in os.environ
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_mistake_there_is_a_mistake_here():
    with pytest.raises(ValueError, match="^a start below 0$"), worker(Counter, -1):
        pass
    with worker(Counter, 0) as counter, pytest.raises(ValueError, match="^said here$"):
        counter("stumble", ValueError)


@pytest.mark.parametrize(
    ("kind", "said"), [(KeyError, r"^KeyError at counting_side\.py:\d+$"), (RuntimeError, ": said here$")]
)
def test_other_errors_say_where_and_quote_nothing_that_may_be_a_report(kind, said):
    with worker(Counter, 0) as counter, pytest.raises(RuntimeError, match=said):
        counter("stumble", kind)


def test_a_process_that_dies_is_said():
    with worker(Counter, 0) as counter, pytest.raises(RuntimeError, match="died"):
        counter("die")


def test_peak_memory_is_at_least_what_is_held():
    held = bytearray(b"x" * 300_000_000)
    assert peak_resident() > len(held)
