"""The tables of the verdict grammar: whatever they allow can be read, ends in time, and says what it decides."""

import collections
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
from reeval.decode.vocabulary import token_bytes
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
VERDICT = Verdict(
    (
        Error("inaccuracy", "laterality", "right effusion", "left effusion", "significant"),
        Error("omission", "device", 'a "PICC" | line \\ here\nand', "", "insignificant"),
        Error("fabrication", "finding", "", "Größe ≥ 2 cm", "significant"),
        *(Error(t, a, "x", "y", s) for t, a, s in zip(TYPES * 4, ASPECTS, SEVERITIES * 6, strict=True)),
    )
)


class Speaker:
    """A tokenizer, the model's vocabulary and the grammar of a mode."""

    def __init__(self, kind: str, mode: str, cache: Path, *, budget: int = BUDGET):
        if kind == "qwen3" and not QWEN3.is_dir():
            pytest.skip("the real Qwen3 tokenizer is not here; others are")
        self.tokenizer = TOKENIZERS[kind]()
        self.conversation = Conversation(self.tokenizer, "compact-1")
        self.vocab_size = len(self.tokenizer) + 67  # models have rows to spare
        self.end, self.mode = self.conversation.end, mode
        self.words = token_bytes(self.tokenizer, self.vocab_size)
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
            distances = self.grammar.distance_S[self.grammar.next_SC[state, classes]]
            if longest:
                chosen = classes[distances.argmax()]
            else:
                # Any way, the way that most tokens take, or one that is soon at an end, but not at once.
                near = np.where(distances == 0, 1 + (distances == 0).all(), 1 + distances)
                nearest = rng.choice(classes[near == near[distances > 0].min()] if distances.any() else classes)
                widest = max(classes, key=lambda c: len(self.tokens_C[c]))
                chosen = rng.choice([rng.choice(classes), widest, nearest, nearest])
            tokens.append(int(rng.choice(self.tokens_C[chosen])))
            state, left = int(self.grammar.next_SC[state, chosen]), left - 1
        assert left >= 0
        return tokens

    def shortly(self, state: int) -> list[int]:
        """The shortest way to the end."""
        return self.say(state, int(self.grammar.distance_S[state]), random.Random(0))

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

    def ways(self, start: int) -> dict[int, list[int]]:
        """Tokens that lead to each state that a turn can come to."""
        ways, waiting = {start: []}, collections.deque([start])
        while waiting:
            state = waiting.popleft()
            for kind in np.flatnonzero(self.grammar.next_SC[state] >= 0):
                after = int(self.grammar.next_SC[state, kind])
                if after not in ways:
                    ways[after] = [*ways[state], int(self.tokens_C[kind][0])]
                    waiting.append(after)
        return ways

    def decisions(self, tokens: list[int]) -> list[int]:
        """What each token of a whole answer decides, seen from its text: who takes the first byte of a severity."""
        spelled = [b"" if token == self.end else self.words[token] for token in tokens]
        text = b"".join(spelled).decode().lstrip(" ")
        skipped = len(b"".join(spelled)) - len(text.encode())
        decided, begin = [0] * len(tokens), -skipped
        starts = {len(text[:a].encode()): 1 + SEVERITIES.index(text[a:b]) for a, b in verdicts.severity_places(text)}
        for place, word in enumerate(spelled):
            sides = [starts[byte] for byte in range(begin, begin + len(word)) if byte in starts]
            assert len(sides) < 2
            decided[place] = sum(sides)
            begin += len(word)
        return decided


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
modes = pytest.mark.parametrize("mode", MODES)


@kinds
def test_random_answers_end_in_time_and_can_be_read(speak, kind):
    rng = random.Random(0)
    one, two = (speak(kind, mode) for mode in MODES)
    lines = set()
    for budget in [*range(20, BUDGET + 1, 4)] * 3:
        said = one.say(one.grammar.first, budget + 1, rng)
        verdict = verdicts.parse(one.conversation.text(said))
        decided = one.follow(said, one.grammar.first)[1]
        assert decided == one.decisions(said)
        assert [d for d in decided if d] == [1 + SEVERITIES.index(e.severity) for e in verdict.errors]
        lines.add(len(verdict.errors))
        said = two.say(two.grammar.first, budget + 1, rng)
        errors = verdicts.parse_spans(two.conversation.text(said))
        assert not any(two.follow(said, two.grammar.first)[1])
        if errors:
            start = int(two.grammar.second_L[len(errors)])
            said = two.say(start, BUDGET + 1, rng)
            verdict = verdicts.parse_severities(two.conversation.text(said), errors)
            decided = [d for d in two.follow(said, start)[1] if d]
            assert decided == [1 + SEVERITIES.index(e.severity) for e in verdict.errors]
    assert len(lines) > 2


@pytest.mark.parametrize("kind", ["bytes", "crafted", "llama"])
@modes
def test_every_token_in_every_state_can_be_read_and_decides_what_its_text_says(speak, kind, mode):
    speaker, spelled = speak(kind, mode), speak("bytes", mode)
    read = verdicts.parse if mode == "one_pass" else verdicts.parse_spans
    for state, before in speaker.ways(speaker.grammar.first).items():
        if not speaker.grammar.distance_S[state]:
            continue
        text = b"".join(speaker.words[token] for token in before)
        by_bytes = spelled.follow(list(text.removeprefix(b" ")), spelled.grammar.first)[0]
        for token, word in enumerate(speaker.words):
            if word is None:
                continue
            after = int(speaker.grammar.next_SC[state, speaker.grammar.class_V[token]])
            # What bytes may do one by one a token may do at once.
            legal = spelled.follow(list(word), by_bytes)[0] >= 0
            if kind != "llama" or text.strip():
                assert (after >= 0) == legal, (before, word)
            if after >= 0:
                said = [*before, token, *speaker.shortly(after)]
                read(speaker.conversation.text(said))
                expected = speaker.decisions(said) if mode == "one_pass" else [0] * len(said)
                assert speaker.follow(said, speaker.grammar.first)[1] == expected


@pytest.mark.parametrize("kind", ["bytes", "crafted", "llama"])
def test_every_token_of_a_second_turn_too(speak, kind):
    speaker = speak(kind, "two_pass")
    lines = len(speaker.grammar.second_L) - 1
    start, errors = int(speaker.grammar.second_L[lines]), VERDICT.errors * lines
    seen = set()
    assert b"significant\ninsignificant" in speaker.words or kind == "bytes"  # it would decide twice
    for state, before in speaker.ways(start).items():
        for kind_ in np.flatnonzero(speaker.grammar.next_SC[state] >= 0):
            for token in speaker.tokens_C[kind_]:
                said = [*before, int(token)]
                said += speaker.shortly(int(speaker.grammar.next_SC[state, kind_]))
                verdicts.parse_severities(speaker.conversation.text(said), errors[:lines])
                expected = speaker.decisions(said)
                assert speaker.follow(said, start)[1] == expected
                seen.add(expected[len(before)])
    assert seen == {0, 1, 2}


@kinds
@modes
def test_the_end_is_always_within_reach(speak, kind, mode):
    """So that an answer ends in time whatever is chosen: a state's nearest neighbour is a step nearer to the end."""
    speaker = speak(kind, mode)
    grammar = speaker.grammar
    ways = np.array([*speaker.ways(grammar.first), *(w for s in grammar.second_L[1:] for w in speaker.ways(int(s)))])
    going = ways[grammar.distance_S[ways] > 0]
    after_SC = grammar.next_SC[going]
    nearest_S = np.where(after_SC >= 0, grammar.distance_S[after_SC], 10**9).min(axis=1)
    assert (grammar.distance_S[going] == nearest_S + 1).all()
    final = ways[grammar.distance_S[ways] == 0]
    assert final.size and (grammar.next_SC[final] == -1).all()
    # The end token leads to a final state, and nothing else does.
    here, kind_ = np.nonzero(grammar.next_SC >= 0)
    ends = kind_ == grammar.class_V[speaker.end]
    assert ((grammar.distance_S[grammar.next_SC[here, kind_]] == 0) == ends).all() and ends.any()
    for left in [*range(int(grammar.distance_S[grammar.first]), 40), BUDGET + 1]:
        said = speaker.say(grammar.first, left, random.Random(left), longest=True)
        assert said[-1] == speaker.end and len(said) <= left
    assert not speaker.allowed(grammar.first, int(grammar.distance_S[grammar.first]) - 1).size


@kinds
def test_every_verdict_can_be_said_as_the_tokenizer_says_it(speak, kind):
    # The embedded judge's tokenizer rewrites what follows a bar.
    errors = [error for error in VERDICT.errors if kind != "embedded" or "|" not in error.reference_span]
    verdict = Verdict(tuple(errors))
    one, two = (speak(kind, mode) for mode in MODES)
    for speaker, text in (
        (one, verdicts.render(verdict)),
        (one, verdicts.NONE),
        (two, verdicts.render_spans(verdict)),
        (two, verdicts.NONE),
    ):
        tokens = [*speaker.conversation.answer(text), speaker.end]
        state, decided = speaker.follow(tokens, speaker.grammar.first)
        assert state >= 0 and speaker.grammar.distance_S[state] == 0
        assert decided == (speaker.decisions(tokens) if speaker is one else [0] * len(tokens))
    severities = [error.severity for error in errors][: len(two.grammar.second_L) - 1]
    tokens = [*two.conversation.answer("\n".join(severities)), two.end]
    state, decided = two.follow(tokens, int(two.grammar.second_L[len(severities)]))
    assert state >= 0 and two.grammar.distance_S[state] == 0
    assert [d for d in decided if d] == [1 + SEVERITIES.index(severity) for severity in severities]
    # One line less or more is none of its verdicts.
    for n in {len(severities) - 1, len(severities) + 1} & {*range(1, len(two.grammar.second_L))}:
        assert two.follow(tokens, int(two.grammar.second_L[n]))[0] < 0


@kinds
@modes
def test_control_tokens_and_spare_rows_are_never_allowed(speak, kind, mode):
    speaker = speak(kind, mode)
    special = {token for token, added in speaker.tokenizer.added_tokens_decoder.items() if added.special}
    never = [*(special - {speaker.end}), *range(len(speaker.tokenizer), speaker.vocab_size)]
    assert len(never) > 67
    assert (speaker.grammar.next_SC[:, speaker.grammar.class_V[never]] == -1).all()


def test_no_half_of_a_character_and_no_surrogate(speak):
    speaker = speak("crafted", "one_pass")
    before = speaker.conversation.answer('omission | count | "')
    words = {word: token for token, word in enumerate(speaker.words) if word}

    def goes(*more: bytes) -> bool:
        return speaker.follow([*before, *(words[word] for word in more)], speaker.grammar.first)[0] >= 0

    assert goes(b"\xe2\x82", b"\xac", b'"') and goes(b"\xe2\x82", b'\xac"')
    assert not goes(b"\xe2\x82", b'"') and not goes(b"\xac") and not goes(b"\xe2\x82", b"\xe2\x82")
    assert not any(map(goes, [b"\xed\xa0\x80", b"\xc0\x80", b"\xff", b"\x00", b"a\x00"]))
    assert goes(b"\xed", b"\x9f") and not goes(b"\xed", b"\xa0")
    assert all(goes(text.encode()) for text in ("\x85", "\u2028", "\x1c", "\ufeff", "\u0301"))


def test_tokens_of_a_class_agree_in_what_they_decide(speak):
    # In a span all of these end it the same way; only some of them decide.
    speaker = speak("crafted", "one_pass")
    words = {word: token for token, word in enumerate(speaker.words) if word}
    state, _ = speaker.follow(speaker.conversation.answer('omission | count | "" => "'), speaker.grammar.first)
    kinds = [speaker.grammar.class_V[words[text]] for text in (b'"', b'" | sig', b'" | ins')]
    assert [speaker.grammar.decides_SC[state, kind] for kind in kinds] == [0, 1, 2]
    state, _ = speaker.follow(speaker.conversation.answer('omission | count | "" => "" |'), speaker.grammar.first)
    assert speaker.grammar.decides_SC[state, speaker.grammar.class_V[words[b" significant"]]] == 1
    assert speaker.grammar.next_SC[state, speaker.grammar.class_V[words[b" "]]] >= 0
    assert speaker.grammar.decides_SC[state, speaker.grammar.class_V[words[b" "]]] == 0


@pytest.mark.parametrize("budget", [27, 96, 139])
def test_a_second_turn_can_have_as_many_lines_as_a_first_one(tmp_path, budget):
    speaker = Speaker("bytes", "two_pass", tmp_path, budget=budget)
    shortest = min(len(f'{t} | {a} | "" => ""\n') for t in TYPES for a in ASPECTS)
    assert len(speaker.grammar.second_L) - 1 == (budget + 1) // shortest


def test_a_token_of_two_lines_counts_as_two(tmp_path, monkeypatch):
    line = min((f'{t} | {a} | "" => ""' for t in TYPES for a in ASPECTS), key=len)
    tokens = [f"\n{line}".encode(), f"\n{line}\n{line}".encode(), b"significant\n", b"significant"]
    monkeypatch.setitem(TOKENIZERS, "lines", lambda: byte_level(tokens))
    speaker = Speaker("lines", "two_pass", tmp_path, budget=len(line) + 8)
    assert len(speaker.grammar.second_L) - 1 == 1 + 2 * 8


def test_spans_hold_nothing_that_the_decoder_rewrites(speak):
    speaker = speak("embedded", "one_pass")
    words = {word: token for token, word in enumerate(speaker.words) if word}
    for text in ('omission | count | "a | " => "" | significant', 'omission | count | "a => " => "" | significant'):
        tokens = [words[bytes([byte])] for byte in text.encode()]
        verdicts.parse(text)
        with pytest.raises(verdicts.VerdictFormatError):
            verdicts.parse(speaker.conversation.text(tokens))
        assert speaker.follow(tokens, speaker.grammar.first)[0] < 0


def test_tables_are_small_and_of_the_types_that_the_device_has(speak):
    for mode in MODES:
        grammar = speak("embedded", mode).grammar
        types = [
            getattr(grammar, name).dtype for name in ("class_V", "next_SC", "distance_S", "second_L", "decides_SC")
        ]
        assert types == [np.int32] * 4 + [np.int8] and type(grammar.first) is int
        assert grammar.next_SC.nbytes < 2e6 and grammar.class_V.max() == grammar.next_SC.shape[1] - 1


def test_tables_are_kept(tmp_path, monkeypatch):
    first = Speaker("embedded", "one_pass", tmp_path).grammar
    with monkeypatch.context() as patched:
        patched.setattr(grammars, "_compile", lambda *_: pytest.fail("compiled again"))
        again = Speaker("embedded", "one_pass", tmp_path).grammar
    assert all(np.array_equal(getattr(first, f), getattr(again, f)) for f in Grammar.__dataclass_fields__)
    # Other tables of another budget, mode, vocabulary, format or maker.
    Speaker("embedded", "one_pass", tmp_path, budget=20)
    Speaker("embedded", "two_pass", tmp_path)
    Speaker("bytes", "one_pass", tmp_path)
    monkeypatch.setattr(verdicts, "FORMAT_VERSION", "another")
    Speaker("embedded", "one_pass", tmp_path)
    monkeypatch.setattr(grammars.importlib.metadata, "version", lambda name: "another")
    Speaker("embedded", "one_pass", tmp_path)
    assert len(list(tmp_path.iterdir())) == 6


def test_damaged_tables_are_made_anew(tmp_path):
    expected = Speaker("bytes", "one_pass", tmp_path).grammar
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", b"?", whole[:-20], whole[:200] + b"????" + whole[204:]):
        kept.write_bytes(damaged)
        assert np.array_equal(Speaker("bytes", "one_pass", tmp_path).grammar.next_SC, expected.next_SC)
        assert kept.read_bytes() == whole
    with kept.open("wb") as file:
        np.savez(file, class_V=np.array([{}], object))
    assert np.array_equal(Speaker("bytes", "one_pass", tmp_path).grammar.next_SC, expected.next_SC)


def test_a_run_can_do_without_a_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert Speaker("bytes", "one_pass", tmp_path / "file" / "below").grammar.first >= 0

    def full(file, **_):
        file.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert Speaker("bytes", "one_pass", tmp_path / "full").grammar.first >= 0
    assert not list((tmp_path / "full").iterdir())


def test_where_tables_are_kept(tmp_path, monkeypatch):
    def used() -> Path | None:
        tokenizer = byte_level()
        compile_grammar(tokenizer, 300, len(tokenizer) - 1, "one_pass", max_answer_tokens=9)
        (kept,) = tmp_path.rglob("*.npz")
        kept.unlink()
        return kept.parent

    monkeypatch.delenv("REEVAL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert used() == tmp_path / "home" / ".cache" / "reeval"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert used() == tmp_path / "xdg" / "reeval"
    monkeypatch.setenv("REEVAL_CACHE", str(tmp_path / "own"))
    assert used() == tmp_path / "own"


def test_too_small_an_answer_and_a_poor_vocabulary_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a verdict takes 2 tokens at least, its end counted, .* raise it"):
        Speaker("embedded", "one_pass", tmp_path, budget=0)
    for mode in MODES:
        tokenizer = byte_level(bytes_of=b'abcdefghijklm "=>')
        with pytest.raises(ValueError, match="cannot spell a verdict"):
            compile_grammar(tokenizer, 50, len(tokenizer) - 1, mode, max_answer_tokens=99, cache=tmp_path)
    # Lines of one token each, and severities of many.
    tokenizer = byte_level(f'{t} | {a} | "" => ""\n'.encode() for t in TYPES for a in ASPECTS)
    with pytest.raises(ValueError, match="cannot spell a second turn of .* lines"):
        compile_grammar(tokenizer, 400, len(tokenizer) - 1, "two_pass", max_answer_tokens=99, cache=tmp_path)
    with pytest.raises(ValueError, match="ends answers with token 300, and the model has 259"):
        compile_grammar(byte_level(), 259, 300, "one_pass", max_answer_tokens=99, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_free_decoding_allows_everything_and_decides_nothing():
    tables = free(9, 4)
    assert (tables.next_SC[0, tables.class_V] == [0, 0, 0, 0, 1, 0, 0, 0, 0]).all()
    assert not tables.decides_SC.any() and not tables.distance_S.any() and tables.second_L.size == 0
