import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import taught_judge


@pytest.fixture(scope="session")
def judge_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From a family to the directory of its taught judge, made once for each that is asked for."""
    return functools.cache(lambda family: taught_judge.write_judge(tmp_path_factory.mktemp(f"judge-{family}"), family))


@pytest.fixture
def judge_directory(family: str, judge_of: Callable[[str], Path]) -> Path:
    return judge_of(family)
