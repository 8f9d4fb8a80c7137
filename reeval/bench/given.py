"""What the benchmarks are given alike: a model, a pair file, a file for the figures."""

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from reeval import embedded
from reeval.bench import checkpoint


def check(options: Any, needs: Sequence[str]) -> None:
    """
    Args:
        options: of a benchmark, with model, shape, tokenizer, pairs, json and against.
        needs: packages that the other side needs.
    Raises:
        ValueError: naming the flag that is wrong.
    """
    if options.json and not Path(options.json).parent.is_dir():
        raise ValueError(f"--json={options.json}: no such directory")
    if options.shape not in checkpoint.SHAPES:
        raise ValueError(f"--shape={options.shape} is not one of {', '.join(checkpoint.SHAPES)}")
    for path in (options.pairs, options.tokenizer, "" if options.model in ("random", "embedded") else options.model):
        if path and not Path(path).exists():
            raise ValueError(f"{path}: no such file or directory")
    if options.tokenizer and options.model != "random":
        raise ValueError("--tokenizer goes with --model=random alone; a checkpoint directory has its own")
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if options.against == "transformers" and missing:
        raise ValueError(
            f"--against=transformers needs {missing[0]}: pip install 'reeval[bench]', or give --against=none"
        )


@contextlib.contextmanager
def model_directory(options: Any, dtype: str) -> Iterator[Path]:
    """The model's directory; one of random weights is gone with the block."""
    if options.model != "random":
        yield embedded.DIRECTORY if options.model == "embedded" else Path(options.model)
        return
    with tempfile.TemporaryDirectory(prefix="reeval-bench-") as directory:
        tokenizer = Path(options.tokenizer) if options.tokenizer else embedded.DIRECTORY
        checkpoint.write_random(Path(directory), options.shape, tokenizer, dtype)
        yield Path(directory)
