"""What tests of both benchmarks run in."""

import contextlib

import pytest

from reeval.bench import limits, score, train


@pytest.fixture
def here(monkeypatch):
    """Sides in this process, and a device that is quickly measured."""

    @contextlib.contextmanager
    def worker(make, *arguments, environment):
        side = make(*arguments)
        yield lambda method, *given: getattr(side, method)(*given)

    for command in (score, train):
        monkeypatch.setattr(command, "worker", worker)
    monkeypatch.setattr(limits, "_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(limits, "_BYTES", {"cpu": 2**16})
