"""One tokenizer for all tests of training from scratch."""

import pytest

from reeval import hf
from reeval.from_scratch import tokenizer as made_here


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer")
    made_here.save(made_here.train(1024, "compact-1", seed=0), out, max_length=512)
    return out


@pytest.fixture(scope="session")
def tokenizer(directory):
    return hf.load_tokenizer(directory)
