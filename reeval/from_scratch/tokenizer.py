"""The embedded judge's tokenizer: a small byte-level BPE, and a chat template that costs few tokens.

A quoted word should be the same token as the word in the report, or copying it must be learned twice. In a
report a word follows a space, in a verdict line an opening quote. So the normalizer puts a space after an
opening quote and the decoder takes it out again; texts come back as they were.
"""

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from reeval import prompts
from reeval.from_scratch.pairs import written
from reeval.pairs import Pair
from reeval.synth.compose import Mixture
from reeval.synth.terms import vocabulary
from reeval.taxonomy import SEVERITIES, TYPES
from reeval.verdicts import NONE, Verdict

FILES = ("tokenizer.json", "tokenizer_config.json")
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
_OPENINGS = ('| "', '=> "')
# What it is fitted to: so many pairs, and each phrase of the lexicon and each word of the format so many times.
_PAIRS, _EACH_PHRASE, _EACH_WORD = 6000, 20, 500


def train(vocab_size: int, prompt: str, seed: int) -> Tokenizer:
    """A tokenizer fitted to the lexicon, to reports of the split "pretrain" and to the verdict format.

    It never sees a report of another split.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(text, f"{text} ") for text in _OPENINGS])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), *(decoders.Replace(f"{text} ", text) for text in _OPENINGS)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(prompt, seed), trainer)
    return tokenizer


def save(tokenizer: Tokenizer, directory: Path, *, max_length: int) -> None:
    """Write the files that transformers' AutoTokenizer reads."""
    tokenizer.save(str(directory / FILES[0]))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [START],
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (directory / FILES[1]).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@functools.cache
def _pairs(seed: int) -> tuple[Pair, ...]:
    return tuple(itertools.islice(written("pretrain", seed, (1, 4), Mixture(drafts=1)), _PAIRS))


def _corpus(prompt: str, seed: int) -> Iterator[str]:
    for phrase in vocabulary():
        yield f" {phrase} {phrase[0].upper()}{phrase[1:]}" * _EACH_PHRASE
    for word in (NONE, *SEVERITIES, *TYPES):
        yield f"assistant\n{word}\n" * _EACH_WORD
    for pair, mode in zip(_pairs(seed), itertools.cycle(prompts.MODES), strict=False):
        assert pair.errors is not None
        turns = [*prompts.first_messages(prompt, mode, pair), prompts.second_message(prompt)]
        yield from (f"{turn['role']}\n{turn['content']}" for turn in turns)
        yield from (f"assistant\n{answer}" for answer in prompts.gold_answers(mode, Verdict(pair.errors)))
