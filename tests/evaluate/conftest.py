from pathlib import Path

import pytest
import taught_judge


@pytest.fixture(scope="session")
def judge_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return taught_judge.write_judge(tmp_path_factory.mktemp("judge"))
