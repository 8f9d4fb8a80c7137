"""The tables of the verdict grammar: whatever they allow can be read, ends in time, and says what it decides."""

import random
from pathlib import Path

import numpy as np
import pytest
from gemma3_tokenizer import gemma3_tokenizer
from small_tokenizers import AWKWARD, HALVES, byte_level, sentence_piece

from reeval import embedded, hf, verdicts
from reeval.data.conversation import Conversation
from reeval.decode import grammar as grammars
from reeval.decode.grammar import Grammar, compile_grammar, free
from reeval.pairs import Error
from reeval.prompts import MODES
from reeval.taxonomy import ASPECTS, SEVERITIES, TYPES
from reeval.verdicts import Verdict

QWEN3 = Path(__file__).parents[3] / "shared" / "data" / "qwen3-tokenizer"
BUDGET = 96
TOKENIZERS = {
    "embedded": lambda: hf.load_tokenizer(embedded.DIRECTORY),
    "gemma3": gemma3_tokenizer,
    "qwen3": lambda: hf.load_tokenizer(QWEN3),
    "bytes": byte_level,
    "crafted": lambda: byte_level([*(text.encode() for text in AWKWARD), *HALVES], added=["  "]),
    "llama": lambda: sentence_piece(AWKWARD, prefix=True, added=["\n\n\n"]),
}


class Speaker:
    """A tokenizer, the model's vocabulary and the grammar of a mode."""

    def __init__(self, kind: str, mode: str, cache: Path, *, budget: int = BUDGET):
        if kind == "qwen3" and not QWEN3.is_dir():
            pytest.skip("the real Qwen3 tokenizer is not here; two others are")
        self.tokenizer = TOKENIZERS[kind]()
        self.conversation = Conversation(self.tokenizer, "compact-1")
        self.vocab_size = len(self.tokenizer) + 67  # models have rows to spare
        self.end = self.conversation.end
        self.grammar = compile_grammar(
            self.tokenizer, self.vocab_size, self.end, mode, max_answer_tokens=budget, cache=cache
        )
        self.tokens_C = [np.flatnonzero(self.grammar.class_V == c) for c in range(self.grammar.next_SC.shape[1])]

    def allowed(self, state: int, left: int) -> np.ndarray:
        after_C = self.grammar.next_SC[state]
        return np.flatnonzero((after_C >= 0) & (self.grammar.distance_S[after_C] <= left - 1))

    def say(self, state: int, left: int, rng: random.Random, *, longest: bool = False) -> list[int]:
        """A random answer, its end token included; `longest` always takes the way that is farthest from the end."""
        tokens = []
        while self.grammar.distance_S[state] > 0:
            classes = self.allowed(state, left)
            assert classes.size, "no way on"
            if longest:
                chosen = max(classes, key=lambda c: self.grammar.distance_S[self.grammar.next_SC[state, c]])
            else:
                # Any way, the way that most tokens take, or one that is soon at an end, but not at once.
                going_on = [c for c in classes if self.grammar.distance_S[self.grammar.next_SC[state, c]]] or classes
                near = min(
                    going_on, key=lambda c: (self.grammar.distance_S[self.grammar.next_SC[state, c]], rng.random())
                )
                chosen = rng.choice(
                    [rng.choice(classes), max(classes, key=lambda c: len(self.tokens_C[c])), near, near]
                )
            tokens.append(int(rng.choice(self.tokens_C[chosen])))
            state, left = int(self.grammar.next_SC[state, chosen]), left - 1
        assert left >= 0
        return tokens

    def follow(self, tokens: list[int], state: int) -> tuple[int, list[int]]:
        """Where tokens lead (-1: nowhere), and what they decide."""
        decided = []
        for token in tokens:
            if state < 0:
                break
            kind = self.grammar.class_V[token]
            decided.append(int(self.grammar.decides_SC[state, kind]))
            state = int(self.grammar.next_SC[state, kind])
        return state, decided


@pytest.fixture(scope="module")
def speak(tmp_path_factory):
    made: dict[tuple[str, str], Speaker] = {}
    cache = tmp_path_factory.mktemp("tables")

    def speaker(kind: str, mode: str) -> Speaker:
        if (kind, mode) not in made:
            made[kind, mode] = Speaker(kind, mode, cache)
        return made[kind, mode]

    return speaker


kinds = pytest.mark.parametrize("kind", TOKENIZERS)
VERDICT = Verdict(
    (
        Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant"),
        Error("omission", "device", 'a "PICC" | line \\ here\nand', "", "insignificant"),
        Error("fabrication", "finding", "", "Größe ≥ 2 cm", "significant"),
    )
)


@kinds
def test_random_answers_end_in_time_and_can_be_read(speak, kind):
    rng = random.Random(0)
    one, two = (speak(kind, mode) for mode in MODES)
    lines = set()
    for budget in [*range(20, BUDGET + 1, 4)] * 3:
        text = one.conversation.text(one.say(one.grammar.first, budget + 1, rng))
        lines.add(len(verdicts.parse(text).errors))
        errors = verdicts.parse_spans(two.conversation.text(two.say(two.grammar.first, budget + 1, rng)))
        if errors:
            second = two.say(int(two.grammar.second_L[len(errors)]), BUDGET + 1, rng)
            assert len(verdicts.parse_severities(two.conversation.text(second), errors).errors) == len(errors)
    assert len(lines) > 2


@kinds
@pytest.mark.parametrize("mode", MODES)
def test_the_longest_way_still_ends_in_time(speak, kind, mode):
    speaker = speak(kind, mode)
    least = int(speaker.grammar.distance_S[speaker.grammar.first])
    for left in [*range(least, least + 30), BUDGET + 1]:
        said = speaker.say(speaker.grammar.first, left, random.Random(left), longest=True)
        assert said[-1] == speaker.end and len(said) <= left
    assert not speaker.allowed(speaker.grammar.first, least - 1).size


@kinds
def test_every_verdict_can_be_said_as_the_tokenizer_says_it(speak, kind):
    quotable = kind != "embedded"  # whose tokenizer rewrites what follows a bar
    errors = [error for error in VERDICT.errors if quotable or "|" not in error.reference_span]
    errors += [Error(t, a, "x", "y", s) for t, a, s in zip(TYPES * 4, ASPECTS, SEVERITIES * 6, strict=True)]
    verdict = Verdict(tuple(errors))
    one, two = (speak(kind, mode) for mode in MODES)
    for speaker, start, text in (
        (one, one.grammar.first, verdicts.render(verdict)),
        (one, one.grammar.first, verdicts.NONE),
        (two, two.grammar.first, verdicts.render_spans(verdict)),
        (two, two.grammar.first, verdicts.NONE),
    ):
        tokens = [*speaker.conversation.answer(text), speaker.end]
        state, _ = speaker.follow(tokens, start)
        assert state >= 0 and speaker.grammar.distance_S[state] == 0
    severities = [error.severity for error in verdict.errors][: len(two.grammar.second_L) - 1]
    tokens = [*two.conversation.answer("\n".join(severities)), two.end]
    state, decided = two.follow(tokens, int(two.grammar.second_L[len(severities)]))
    assert two.grammar.distance_S[state] == 0
    assert [d for d in decided if d] == [1 + SEVERITIES.index(severity) for severity in severities]
    # One line less or more is none of its verdicts.
    for n in (len(severities) - 1, len(severities) + 1):
        if 0 < n < len(two.grammar.second_L):
            state, _ = two.follow(tokens, int(two.grammar.second_L[n]))
            assert state < 0


@kinds
def test_the_token_that_takes_the_first_letter_of_a_severity_decides(speak, kind):
    speaker = speak(kind, "one_pass")
    rng = random.Random(1)
    seen = set()
    for _ in range(40):
        said = speaker.say(speaker.grammar.first, BUDGET + 1, rng)
        _, decided = speaker.follow(said, speaker.grammar.first)
        verdict = verdicts.parse(speaker.conversation.text(said))
        assert [d for d in decided if d] == [1 + SEVERITIES.index(e.severity) for e in verdict.errors]
        for place in np.flatnonzero(decided):
            before, with_it = (speaker.conversation.text(said[: place + n]) for n in (0, 1))
            word = SEVERITIES[decided[place] - 1]
            taken = with_it[len(before) :].lstrip(' "|')
            assert taken and (word.startswith(taken.split("\n")[0]) or taken.startswith(word))
            seen.add(decided[place])
    assert seen == {1, 2}


@kinds
@pytest.mark.parametrize("mode", MODES)
def test_control_tokens_and_spare_rows_are_never_allowed(speak, kind, mode):
    speaker = speak(kind, mode)
    special = {token for token, added in speaker.tokenizer.added_tokens_decoder.items() if added.special}
    never = [*(special - {speaker.end}), *range(len(speaker.tokenizer), speaker.vocab_size)]
    assert (speaker.grammar.next_SC[:, speaker.grammar.class_V[never]] == -1).all()
    ends = speaker.grammar.next_SC[:, speaker.grammar.class_V[speaker.end]]
    assert (ends >= 0).any() and (speaker.grammar.distance_S[ends[ends >= 0]] == 0).all()


def test_a_first_turn_never_has_more_lines_than_a_second_can_have(tmp_path):
    for budget in (12, 30, 64):
        speaker = Speaker("embedded", "two_pass", tmp_path, budget=budget)
        lines = len(speaker.grammar.second_L) - 1
        shortest = "\n".join(['omission | count | "" => ""'] * 40)
        tokens = speaker.conversation.answer(shortest)
        fits = [
            n
            for n in range(1, 41)
            if len(speaker.conversation.answer("\n".join([shortest.split("\n")[0]] * n))) <= budget
        ]
        assert lines >= max(fits) and tokens
        assert lines <= max(fits) + 1  # as few as that


def test_tables_are_kept_and_made_anew_where_they_are_damaged(tmp_path, monkeypatch):
    first = Speaker("embedded", "one_pass", tmp_path).grammar
    (kept,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(grammars, "_compile", lambda *_: pytest.fail("compiled again"))
        again = Speaker("embedded", "one_pass", tmp_path).grammar
    assert all(np.array_equal(getattr(first, f), getattr(again, f)) for f in Grammar.__dataclass_fields__)
    kept.write_bytes(kept.read_bytes()[:-20])
    assert np.array_equal(Speaker("embedded", "one_pass", tmp_path).grammar.next_SC, first.next_SC)
    Speaker("embedded", "one_pass", tmp_path, budget=20)
    assert len(list(tmp_path.iterdir())) == 2  # another budget, other tables
    (tmp_path / "file").write_text("")
    assert Speaker("embedded", "one_pass", tmp_path / "file" / "below").grammar.first == first.first


def test_too_small_an_answer_and_a_poor_vocabulary_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a verdict takes 2 tokens at least, its end counted, .* raise it"):
        Speaker("embedded", "one_pass", tmp_path, budget=0)
    for mode in MODES:
        tokenizer = byte_level(bytes_of=b'abcdefghijklm "=>')
        with pytest.raises(ValueError, match="cannot spell a verdict"):
            compile_grammar(tokenizer, 50, len(tokenizer) - 1, mode, max_answer_tokens=99, cache=tmp_path)
    with pytest.raises(ValueError, match="ends answers with token 300, and the model has 259"):
        compile_grammar(byte_level(), 259, 300, "one_pass", max_answer_tokens=99, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_free_decoding_allows_everything_and_decides_nothing():
    tables = free(9, 4)
    assert (tables.next_SC[0, tables.class_V] == [0, 0, 0, 0, 1, 0, 0, 0, 0]).all()
    assert not tables.decides_SC.any() and not tables.distance_S.any() and tables.second_L.size == 0
