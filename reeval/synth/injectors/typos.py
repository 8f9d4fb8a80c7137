"""Slips of the keyboard that leave a word plain to read."""

import random
import re

from reeval.synth import terms

# Words in which a slip could change the meaning, or that stand for it alone.
_KEPT = re.compile(
    r"(?:hyper|hypo|intra|extra|supra|infra|non|unch)|.*(?:left|right|upper|lower|ilateral|crease|prove|worse|patient)"
)
# A prefix whose letters stay as they are.
_PREFIX = re.compile(r"inter|un|in|de|dys|re|ab|pre|")
_NEAR = {
    "a": "s", "c": "v", "d": "f", "e": "r", "i": "o", "l": "k", "m": "n", "n": "m", "o": "i", "p": "o", "r": "t",
    "s": "a", "t": "r", "u": "i", "v": "b", "g": "h", "h": "g", "b": "v",
}  # fmt: skip


def word_with_slip(word: str, rng: random.Random) -> str | None:
    """A word of seven letters or more, in lower case, with two letters exchanged, or one lost, doubled or mistyped,
    its first and last letters as they are. None for words in which that could mislead."""
    if len(word) < 7 or not word.isalpha() or not word.islower() or _KEPT.match(word):
        return None
    prefix = _PREFIX.match(word)
    assert prefix is not None
    if prefix.end() >= len(word) - 2:
        return None
    for _ in range(8):
        at = rng.randrange(max(1, prefix.end()), len(word) - 2)
        kind = rng.randrange(4)
        if kind == 0:
            new = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == 1:
            new = word[:at] + word[at + 1 :]
        elif kind == 2:
            new = word[:at] + word[at] + word[at:]
        elif word[at] in _NEAR:
            new = word[:at] + _NEAR[word[at]] + word[at + 1 :]
        else:
            continue
        if new != word and not any(True for _ in terms.find(new, 0, len(new))):
            return new
    return None
