"""By what a pair file is known again."""
import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

from reeval.pairs import Pair


def digests(path: Path, pairs: Sequence[Pair]) -> set[str]:
    content = path.read_bytes()
    found = {hashlib.sha256(content).hexdigest()}
    if path.suffix == ".gz":
        found.add(hashlib.sha256(gzip.decompress(content)).hexdigest())
    return found
