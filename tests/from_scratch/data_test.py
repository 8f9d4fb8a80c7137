"""Batches made on the fly: the tokens that judging uses, their parts and tags, packed and reproducible."""

import dataclasses
import itertools
import random
from contextlib import closing

import numpy as np
import pytest

from reeval.data.conversation import Conversation
from reeval.from_scratch import data
from reeval.from_scratch.pairs import places, scrambled, written
from reeval.synth.compose import Mixture
from reeval.synth.document import parse

OPTIONS = data.DataOptions(
    rows=4, length=384, prompt="compact-1", seed=3, curriculum=((0.5, 1, 2), (1.0, 2, 4)), scrambled=0.5,
    varied=((0.5, 0.0), (1.0, 0.5)), true_severities=((0.5, 0.0), (1.0, 0.5)), two_pass_share=0.5, identical=0.3,
)  # fmt: skip


def made_pairs(count, seed):
    """As many pairs as they are, and with their words exchanged."""
    plain = list(itertools.islice(written("pretrain", seed, (1, 3), Mixture(drafts=1)), count))
    return [*plain, *(scrambled(pair, random.Random(pair.pair_id)) for pair in plain)]


@pytest.fixture(scope="module")
def tagger(tokenizer):
    return data.Tagger(tokenizer.backend_tokenizer, "compact-1")


@pytest.mark.parametrize("mode", ["one_pass", "two_pass"])
@pytest.mark.parametrize("true_severities", [False, True])
def test_tokens_are_those_of_a_conversation_with_true_severities_or_all_flagged(
    tokenizer, tagger, mode, true_severities
):
    conversation = Conversation(tokenizer, "compact-1")
    part_of = {0.0: None, 1.0: data.ANSWER, 2.0: data.SEVERITY}
    for pair in made_pairs(60, 1):
        errors = pair.errors
        if not true_severities:
            errors = tuple(dataclasses.replace(error, severity="significant") for error in errors)
        expected = conversation.example(mode, dataclasses.replace(pair, errors=errors), severity_weight=2.0)
        made = tagger.tagged(mode, pair, true_severities=true_severities)
        assert made.tokens == expected.tokens.tolist()
        assert [part if part >= data.ANSWER else None for part in made.parts] == [
            part_of[weight] for weight in expected.weights.tolist()
        ]


def test_parts_and_tags_say_what_a_token_is(tagger):
    for pair in made_pairs(100, 2):
        made = tagger.tagged("one_pass", pair)

        def text(wanted, among, made=made):
            chosen = [token for token, x in zip(made.tokens, among, strict=True) if x in wanted]
            return tagger.tokenizer.decode(chosen).strip()

        assert text([data.REFERENCE], made.parts) == pair.reference
        assert text([data.CANDIDATE], made.parts) == pair.candidate
        assert all((tag >= 0) == (part == data.CANDIDATE) for tag, part in zip(made.tags, made.parts, strict=True))
        at = text_start(made, data.CANDIDATE)
        for index, start, end in places(pair):
            inside = made.tags[at:][: len(tagger.tokenizer.encode(" " + pair.candidate).ids)]
            expected = data.EDITED if pair.errors[index].reference_span else data.INSERTED
            assert (expected if start < end else data.AFTER_LOSS) in inside or start == end


def text_start(made, part):
    return made.parts.index(part)


def test_places_are_where_the_errors_stand():
    found = 0
    for pair in made_pairs(80, 4):
        for index, start, end in places(pair):
            error = pair.errors[index]
            words = pair.candidate[start:end].strip()
            if error.type == "fabrication" and not error.reference_span and len(words.split()) > 1:
                found += 1
                assert error.candidate_span.strip(". ") in words or words.strip(",. ") in error.candidate_span
    assert found > 20


def test_exchanged_words_are_the_same_wherever_they_stand_and_the_lexicon_stays():
    made, changed = made_pairs(40, 6), 0
    for plain, other in zip(made[:40], made[40:], strict=True):
        assert len(plain.reference) == len(other.reference)
        changed += plain.reference != other.reference
        for error in other.errors:
            assert error.reference_span in other.reference and error.candidate_span in other.candidate
        for word in ("right", "left", "effusion", "no", "mm"):
            assert other.candidate.lower().split().count(word) == plain.candidate.lower().split().count(word)
    assert changed > 30


def test_a_batch_holds_whole_conversations_in_rows_of_their_own_segments(tagger):
    batch = data.make_batch(tagger, OPTIONS, 5, 0.9)
    assert all(value.shape == (OPTIONS.rows, OPTIONS.length) for value in batch.values())
    padding = batch["parts"] == data.PADDING
    assert padding.mean() < 0.25
    np.testing.assert_array_equal(padding, batch["segments"] == 0)
    for segment in np.unique(batch["segments"][~padding]):
        rows, columns = np.nonzero(batch["segments"] == segment)
        assert len(set(rows)) == 1 and np.ptp(columns) == len(columns) - 1
        np.testing.assert_array_equal(batch["positions"][rows, columns], np.arange(len(columns)))
        assert batch["tokens"][rows[0], columns[0]] == tagger.tokenizer.token_to_id("<|im_start|>")
        assert batch["tokens"][rows[-1], columns[-1]] == tagger.end


def test_a_batch_depends_on_its_number_and_the_seed_alone(tagger):
    first = data.make_batch(tagger, OPTIONS, 5, 0.9)
    for other, same in (
        (data.make_batch(tagger, OPTIONS, 5, 0.9), True),
        (data.make_batch(tagger, OPTIONS, 6, 0.9), False),
        (data.make_batch(tagger, dataclasses.replace(OPTIONS, seed=4), 5, 0.9), False),
    ):
        assert np.array_equal(first["tokens"], other["tokens"]) == same


def test_the_curriculum_sets_the_number_of_sentences(tagger):
    for progress, most in ((0.0, 2), (0.6, 4)):
        pairs = data.sources(OPTIONS, 1, progress)
        assert max(len(parse(next(pairs).reference).sentences) for _ in range(200)) == most


def test_true_severities_come_late_and_in_a_share_of_the_pairs(tagger):
    word = tagger.tokenizer.token_to_id("Ġinsignificant")
    said = {
        progress: sum((data.make_batch(tagger, OPTIONS, step, progress)["tokens"] == word).sum() for step in range(20))
        for progress in (0.4, 0.6)
    }
    assert said[0.4] == 0 and said[0.6] > 20


def test_workers_make_the_batches_of_the_process_itself(directory):
    made = []
    for workers in (0, 2):
        with closing(data.Batches(directory / "tokenizer.json", OPTIONS, 6, workers)) as batches:
            made.append(list(batches))
    assert len(made[0]) == len(made[1]) == 6
    # From where another stood; what was made ahead for elsewhere is not given.
    with closing(data.Batches(directory / "tokenizer.json", OPTIONS, 6, 1)) as batches:
        np.testing.assert_array_equal(next(batches)["tokens"], made[0][0]["tokens"])
        batches.set_state({"next": 4})
        made.append(made[0][:4] + list(batches))
        assert batches.get_state() == {"next": 6}
    for one, other in [*zip(*made[:2], strict=True), *zip(*made[1:], strict=True)]:
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
