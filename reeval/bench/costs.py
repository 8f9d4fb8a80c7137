"""What scoring must at least read and compute, from a model's sizes: the numerators of the shares of the limits.

Letters: L layers, D model, F hidden, N query heads, K key heads, H head size, V vocabulary.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from reeval.bench.task import Answers
from reeval.models.decoder import DecoderConfig


@dataclasses.dataclass(frozen=True)
class Costs:
    """Of a model whose numbers take `itemsize` bytes."""

    config: DecoderConfig
    itemsize: int

    @property
    def layers(self) -> int:
        """Weights of all layers' matrices."""
        c = self.config
        attention = 2 * c.d_model * (c.num_heads + c.num_kv_heads) * c.head_dim
        return c.num_layers * (attention + 3 * c.d_model * c.hidden)

    @property
    def head(self) -> int:
        """Weights of the head, tied or not."""
        return self.config.d_model * self.config.vocab_size

    @property
    def parameters(self) -> int:
        """Of all matrices."""
        return self.layers + self.head * (1 if self.config.tied else 2)

    @property
    def cache_bytes(self) -> int:
        """Of the keys and values of one token."""
        c = self.config
        return 2 * c.num_layers * c.num_kv_heads * c.head_dim * self.itemsize

    def decode_bytes(self, steps: int, prefix: int, prompts: Sequence[int], answers: Answers) -> float:
        """What `steps` decode steps must read: a step, the weights and the shared prefix once, and of each
        conversation its own tokens so far. Windows of local attention are not considered.

        Args:
            prefix: tokens that all conversations share, kept once.
            prompts: tokens of each prompt, prefix included.
        """
        once = (self.layers + self.head) * self.itemsize + prefix * self.cache_bytes
        own = sum(seen - prefix for seen in _seen(prompts, answers))
        return steps * once + own * self.cache_bytes

    def decode_operations(self, prompts: Sequence[int], answers: Answers) -> float:
        """Of all tokens of all answers, their ends too."""
        return sum(2 * (self.layers + self.head) + self._attention(seen) for seen in _seen(prompts, answers))

    def prefill_operations(self, new: int, context: int = 0, *, heads: int = 1) -> float:
        """Of `new` tokens that follow `context` others and see each other causally.

        Args:
            heads: of how many tokens logits are made.
        """
        return 2 * self.layers * new + self._attention(new * context + new * (new + 1) / 2) + 2 * self.head * heads

    def _attention(self, seen: float) -> float:
        """Of queries that see so many keys in all."""
        c = self.config
        return 4 * c.num_layers * c.num_heads * c.head_dim * seen


def _seen(prompts: Sequence[int], answers: Answers) -> Iterator[int]:
    """How many tokens stand before and at each input of a decode step, whose output is a token or the end of a turn.

    What asks for a second turn is not counted: it is not much, and prompts alone do not tell it.
    """
    for prompt, turns in zip(prompts, answers, strict=True):
        for turn in turns:
            yield from range(prompt, prompt + len(turn) + 1)
            prompt += len(turn) + 1
