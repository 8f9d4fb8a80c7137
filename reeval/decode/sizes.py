"""How large everything is in a run, decided before it begins. Shape letters as in `slots`."""

from collections.abc import Sequence

from jax.sharding import Mesh

from reeval import sharding
from reeval.decode.packing import buckets

# Room beyond `max_prompt_tokens` for a prompt whose text makes it part with the prefix some tokens early.
_SPARE = 64
# Tokens of a packed row, where slots can fill it: few prompts begin at a time on a CPU, and padding costs there.
_ROW = {"cpu": 512}
_ROW_OF_OTHERS = 2048
# Second turns that begin together, for each row that the mesh needs.
_SECOND = {"cpu": 1}
_SECOND_OF_OTHERS = 4


class Sizes:
    """
    Attributes:
        prefix: the tokens that prompts share, as many as one prompt may have.
        second: the tokens that ask for a second turn; empty if none is had.
        slots: conversations at a time.
        own: tokens at most that a prompt has beyond the prefix.
        rooms: tokens of a slot beyond the prefix, rising; the last holds any conversation.
        rows, row_lengths: of one prefill; and the lengths that a row may have, rising.
        second_rows: second turns that begin together.
    """

    def __init__(
        self,
        mesh: Mesh,
        *,
        prefix: Sequence[int],
        second: Sequence[int],
        slots: int,
        max_prompt_tokens: int,
        max_answer_tokens: int,
    ):
        assert slots > 0 and max_prompt_tokens > 0 and max_answer_tokens > 0
        platform = mesh.devices.flat[0].platform
        self.max_prompt_tokens, self.max_answer_tokens = max_prompt_tokens, max_answer_tokens
        self.prefix, self.second = list(prefix)[: max_prompt_tokens - 1], list(second)
        self.rows = sharding.batch_multiple(mesh)
        self.slots = -(-slots // self.rows) * self.rows
        self.own = max_prompt_tokens - len(self.prefix) + min(len(self.prefix), _SPARE)
        room = self.own + max_answer_tokens
        if self.second:
            room += len(self.second) + max_answer_tokens
        self.rooms = buckets(room)
        row = min(_ROW.get(platform, _ROW_OF_OTHERS), self.slots * self.own)
        self.row_lengths = buckets(max(self.own, row))
        self.second_rows = self.rows * _SECOND.get(platform, _SECOND_OF_OTHERS)

    def beyond_prefix(self, tokens: Sequence[int]) -> Sequence[int]:
        """What a prompt has beyond the prefix, at least its last token.

        Raises:
            ValueError: if there is no room for it.
        """
        shared = 0
        for token, other in zip(tokens[:-1], self.prefix, strict=False):
            if token != other:
                break
            shared += 1
        if len(tokens) > self.max_prompt_tokens or len(tokens) - shared > self.own:
            raise ValueError(
                f"a prompt has {len(tokens)} tokens, {shared} of them shared, but there is room for "
                f"max_prompt_tokens={self.max_prompt_tokens}, and for {self.own} that are not shared; raise it"
            )
        return tokens[shared:]
