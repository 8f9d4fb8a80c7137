"""The images that pairs carry: read when they are wanted, and known by their content."""

import dataclasses
import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from reeval.hf.processor import Processor, open_image
from reeval.pairs import Pair
from reeval.progress import progress


@dataclasses.dataclass(frozen=True, slots=True)
class StudyImage:
    """A pair's image as one model takes it."""

    pair: Pair
    processor: Processor

    def pixels(self) -> np.ndarray:
        """Its pixel values, `processor.shape` float32. Raises ValueError, naming the pair and never the file."""
        assert self.pair.image is not None
        try:
            return self.processor.pixels(self.pair.image)
        except ValueError as error:
            raise _of(self.pair, error) from None


def images_sha256(pairs: Sequence[Pair]) -> str:
    """A digest of what the images show, whatever the files are called and wherever they lie.

    Every image is read to its end, so that a damaged one is known before work begins.

    Raises:
        ValueError: naming the first pair with an image that cannot be used.
    """
    digest = hashlib.sha256()
    known: dict[str | None, bytes] = {None: bytes(hashlib.sha256().digest_size)}
    with progress("reading images", len(pairs)) as advance:
        for number, pair in enumerate(pairs, start=1):
            if pair.image not in known:
                known[pair.image] = _sha256(pair)
            digest.update(known[pair.image])
            advance(number, "")
    return digest.hexdigest()


def _sha256(pair: Pair) -> bytes:
    assert pair.image is not None
    try:
        content = Path(pair.image).read_bytes()
        open_image(BytesIO(content))
    except OSError as error:
        raise _of(pair, f"the image cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise _of(pair, error) from None
    return hashlib.sha256(content).digest()


def _of(pair: Pair, what: object) -> ValueError:
    return ValueError(f"pair {pair.pair_id!r}: field 'image': {what}")
