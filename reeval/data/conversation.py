"""Conversations as tokens: the same pieces for training and for judging.

A conversation is a prompt, an answer, and in two-pass the second turn and its answer. Each piece is tokenised by
itself, so that a second turn continues exactly the tokens that the first one produced.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from reeval import prompts, verdicts
from reeval.data.images import StudyImage
from reeval.hf.processor import Processor
from reeval.pairs import Pair
from reeval.verdicts import Verdict

_MARK = "ANSWER-GOES-HERE"
_WORD = re.compile(r"\w")
# How reports may begin; without white space, which prompts strip. An empty one begins with what follows it.
_STARTS = ("", "A", "b", "7", '"', "(", "-", ".", "é", "胸")


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """A training conversation.

    Attributes:
        tokens: [T] int32.
        weights: [T] float32, the weight of each token's loss, 0 for a prompt.
        image: what the image tokens among them stand for, if there are any.
    """

    tokens: np.ndarray
    weights: np.ndarray
    image: StudyImage | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Preferred:
    """A conversation that goes on in two ways.

    Attributes:
        prompt: [P] int32, what both begin with, but for its last token, which predicts their first ones.
        chosen, rejected: from the prompt's last token on.
        image: as an Example's.
    """

    prompt: np.ndarray
    chosen: Example
    rejected: Example
    image: StudyImage | None = None


class Conversation:
    """Tokenises the conversations of one prompt version with one tokenizer.

    The images of pairs are seen if there is a processor of images, and passed over if there is none.

    Attributes:
        end: the token that ends an answer.
        second: the tokens between the first answer's end token, which they begin with, and the second answer.
    """

    def __init__(self, tokenizer: Any, version: str, processor: Processor | None = None):
        self.tokenizer, self.version, self.processor = tokenizer, version, processor
        probe = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _MARK}]
        glue = self._after_mark([*probe, prompts.second_message(version)])
        self.second: list[int] = self._encode(glue)
        self.end: int = self.second[0]
        added = tokenizer.added_tokens_decoder
        if self.end not in added or not added[self.end].special:
            raise ValueError("the chat template does not end an assistant's turn with a special token")
        # Tokens that mean something to the model beyond their text: those that say so, and those of the template that
        # do not (Qwen3's <think>). Others stand for plain text, such as Gemma's <b>; those of the template without a
        # letter are white space.
        template = tokenizer.get_chat_template()
        control = (
            t.content for t in added.values() if t.special or (t.content in template and _WORD.search(t.content))
        )
        self._control = re.compile("|".join(map(re.escape, control)))
        if processor is not None:
            self._check_template_places(processor.placeholder)

    def image(self, pair: Pair) -> StudyImage | None:
        """The image that the judge sees with a pair."""
        return None if self.processor is None or pair.image is None else StudyImage(pair, self.processor)

    def prompt(self, mode: str, pair: Pair) -> list[int]:
        """The tokens before the first answer.

        Raises:
            ValueError: if a report holds a control token of the tokenizer, which might end its turn.
        """
        if self._control.search(f"{pair.reference}\n{pair.candidate}"):
            raise ValueError(f"pair {pair.pair_id!r}: a report holds a control token of the tokenizer; remove it")
        image = self.image(pair)
        text = self._render(prompts.first_messages(self.version, mode, pair, image=image is not None))
        if image is not None:
            text = text.replace(image.processor.placeholder, image.processor.expanded)
        return self._encode(text)

    def prefix(self, mode: str) -> list[int]:
        """The tokens that the prompts of a mode begin with, whatever the reports; they end before an image.

        Found from reports that begin in different ways: a tokenizer may join their first character to what stands
        before it. Of reports that begin in yet another way, a prompt might share a token or two less.
        """
        seen = [None] if self.processor is None else [None, "probe"]
        probes = (Pair("", "", start, start, image=image) for start in _STARTS for image in seen)
        columns = zip(*(self.prompt(mode, probe) for probe in probes), strict=False)
        return [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]

    def answer(self, text: str) -> list[int]:
        """The tokens of an answer, without the end token."""
        return self._encode(text)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens, up to its end token if it has one."""
        tokens = list(tokens)
        if self.end in tokens:
            tokens = tokens[: tokens.index(self.end)]
        return self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def example(self, mode: str, pair: Pair, *, severity_weight: float = 1.0) -> Example:
        """The training conversation of a labelled pair.

        Args:
            severity_weight: the loss weight of severity words; other tokens of an answer, its end included, weigh 1.
        """
        assert pair.errors is not None
        answers = prompts.gold_answers(mode, Verdict(pair.errors))
        return self._answered(self.prompt(mode, pair), answers, severity_weight, self.image(pair))

    def preferred(self, mode: str, pair: Pair, chosen: Sequence[str], rejected: Sequence[str]) -> Preferred:
        """A pair's prompt with the answers of each turn that are preferred, and those that they are preferred over."""
        *prompt, last = self.prompt(mode, pair)
        better, worse = (self._answered([last], each, 1.0, None) for each in (chosen, rejected))
        return Preferred(np.asarray(prompt, np.int32), better, worse, self.image(pair))

    def _answered(
        self, prompt: list[int], answers: Sequence[str], severity_weight: float, image: StudyImage | None
    ) -> Example:
        tokens, weights = list(prompt), [0.0] * len(prompt)
        for turn, answer in enumerate(answers):
            if turn:
                # The end token that begins the glue already stands there, as the end of the first answer.
                tokens += self.second[1:]
                weights += [0.0] * (len(self.second) - 1)
            encoded = self.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
            severities = verdicts.severity_places(answer)
            tokens += [*encoded["input_ids"], self.end]
            weights += [
                severity_weight if any(start < b and a < end for a, b in severities) else 1.0
                for start, end in encoded["offset_mapping"]
            ]
            weights.append(1.0)
        return Example(np.asarray(tokens, np.int32), np.asarray(weights, np.float32), image)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _render(self, messages: list[prompts.Message]) -> str:
        # `enable_thinking` is Qwen3's: a judge answers at once. Other templates ignore it.
        return self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )

    def _after_mark(self, messages: list[prompts.Message]) -> str:
        rendered = self._render(messages)
        if rendered.count(_MARK) != 1:
            raise ValueError("the chat template does not repeat an assistant's words as they are")
        return rendered.partition(_MARK)[2]

    def _check_template_places(self, placeholder: str) -> None:
        content = [{"type": "text", "text": "x"}, {"type": "image"}, {"type": "text", "text": _MARK}]
        try:
            before = self._render([{"role": "user", "content": content}]).partition(_MARK)[0]
        except Exception:  # whatever a template does to a list that it takes for a text
            before = ""
        if before.count(placeholder) != 1:
            raise ValueError("the chat template does not say where an image goes; fetch that of the multimodal model")
