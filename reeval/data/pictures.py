"""The images of training batches: marked at their tokens first, read when the batch that shows them is drawn."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from reeval.data.conversation import Example


class Pictures:
    """The images of examples on their way into batches: as numbers at their tokens, then as pixels of a row."""

    def __init__(self, examples: Sequence[dict[str, Example]], length: int, most: int | None = None):
        """
        Args:
            length: of a row.
            most: images that a row can show; by default as many as fit.
        """
        conversations = [example for modes in examples for example in modes.values() if example.image is not None]
        self._by_number = {n: image for n, modes in enumerate(examples) if (image := next(iter(modes.values())).image)}
        # Of a row that packing fills with the shortest of them.
        fitting = length // min(len(example.tokens) - 1 for example in conversations) if conversations else 0
        self._most = fitting if most is None else most
        self.features = ("images",) if conversations else ()

    def marks(self, number: int, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """At each image token of an example its number, counted from 1, and 0 elsewhere."""
        image = self._by_number.get(number)
        at = np.zeros(len(tokens), bool) if image is None else tokens == image.processor.token
        return {name: np.where(at, np.int32(number + 1), np.int32(0)) for name in self.features}

    def pixels(self, batch: dict[str, Any], wanted: Collection[int]) -> dict[str, np.ndarray]:
        """The images of a batch's rows; zeros in those that are not wanted."""
        if not self.features:
            return {}
        first = next(iter(self._by_number.values()))
        images = np.zeros((len(batch["images"]), self._most, *first.processor.shape), np.float32)
        for row in wanted:
            marks = batch["images"][row]
            # Text stands between any two images, so that each begins after a 0.
            (begins,) = np.nonzero((marks > 0) & (np.diff(marks, prepend=0) != 0))
            for slot, at in enumerate(begins):
                images[row, slot] = self._by_number[marks[at] - 1].pixels()
        return {"images": images}
