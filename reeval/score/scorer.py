"""A judge that scores: loaded from a directory, with a signature of all that decides what it says.

The score of a pair is 1 minus the probability that the candidate has a clinically significant error: 1 is a candidate
whose differences, if any, do not matter, 0 one with a significant error. What cannot be parsed has no score.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from reeval import embedded, hf, lora, sharding, verdicts
from reeval.decode.memory import Memory
from reeval.evaluate.judge import Judge
from reeval.models import MedGemmaConfig
from reeval.pairs import Pair
from reeval.prompts import MODES
from reeval.prompts import prompt as check_prompt
from reeval.run import FINGERPRINT, checkpoint_fingerprint, conversation, file_sha256, one_line
from reeval.version import __version__

_EMBEDDED_PROMPT = "compact-1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How to score.

    Attributes:
        model: a checkpoint directory, or `embedded`.
        adapter: a PEFT directory to lay over it.
        prompt: a version; by default the one that the directory's reeval.json names.
        dtype: of the weights; by default that of the files.
        slots: pairs that are judged at a time. It changes the speed and the memory, and no score.
        max_prompt_tokens: by default as many as the longest pair has.
        temperature: of sampling, 0 for the likeliest answer; what a pair gets depends on `seed` and its id alone.
    """

    model: str
    adapter: str | None = None
    mode: str = "one_pass"
    prompt: str | None = None
    dtype: str | None = None
    mesh: tuple[int, int, int] = (-1, 1, 1)
    slots: int = 32
    max_prompt_tokens: int | None = None
    max_answer_tokens: int = 256
    grammar: bool = True
    temperature: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Raises ValueError."""
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode!r} is none of {', '.join(MODES)}")
        for name in ("slots", "max_answer_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.max_prompt_tokens is not None and self.max_prompt_tokens < 1:
            raise ValueError(f"max_prompt_tokens={self.max_prompt_tokens} must be at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature} must be 0 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """What became of one pair.

    Attributes:
        score: 1 - probability; from the verdict alone (0 or 1) in free decoding; None where nothing was parsed.
        probability: that the candidate has a significant error, the greatest of its errors'.
        errors: each with type, aspect, spans, severity and, but for free decoding, its probability of being
            significant.
        raw: the text of each turn.
        parse_status: "ok", or why there is no verdict.
    """

    pair_id: str
    score: float | None = None
    significant: bool | None = None
    probability: float | None = None
    significant_errors: int | None = None
    insignificant_errors: int | None = None
    errors: tuple[dict[str, Any], ...] | None = None
    raw: tuple[str, ...] = ()
    parse_status: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Sample":
        """From a row of `Judge.judge`."""
        if row["errors"] is None:
            return cls(pair_id=row["pair_id"], raw=tuple(row["raw"]), parse_status=row["parse_status"])
        probabilities = row["probabilities"]
        errors = tuple(
            error if probabilities is None else error | {"probability": probabilities[i]}
            for i, error in enumerate(row["errors"])
        )
        grave = sum(error["severity"] == "significant" for error in errors)
        chance = float(row["significant"]) if row["probability"] is None else row["probability"]
        return cls(
            pair_id=row["pair_id"],
            score=1.0 - chance,
            significant=row["significant"],
            probability=row["probability"],
            significant_errors=grave,
            insignificant_errors=len(errors) - grave,
            errors=errors,
            raw=tuple(row["raw"]),
            parse_status=row["parse_status"],
        )


class Scorer:
    """Loads a judge once, and scores with it.

    Attributes:
        identity: all that decides a score, by name.
        signature: the same as one line, to be reported beside scores.
    """

    def __init__(self, settings: Settings, *, images: bool = False):
        """
        Args:
            images: whether any pair has an image; a model that cannot see passes over them.
        Raises:
            ValueError: one line, for a model, adapter or setting that cannot be used.
        """
        settings.check()
        self.settings = settings
        self.directory = embedded.DIRECTORY if settings.model == "embedded" else Path(settings.model)
        self.sees = images and isinstance(hf.load_config(self.directory), MedGemmaConfig)
        version = self._prompt()
        self.conversation = conversation(self.directory, version, self.sees)
        adapter = None if settings.adapter is None else Path(settings.adapter)
        self.identity = {
            "reeval": __version__,
            "model": checkpoint_fingerprint(self.directory)[:FINGERPRINT],
            "adapter": "none" if adapter is None else _digest(adapter)[:FINGERPRINT],
            "prompt": version,
            "format": verdicts.FORMAT_VERSION,
            "mode": settings.mode,
            "images": "yes" if self.sees else "no",
            "dtype": settings.dtype or "as stored",
            "grammar": "yes" if settings.grammar else "no",
            "answer": str(settings.max_answer_tokens),
            "temperature": f"{settings.temperature:g}",
            "seed": str(settings.seed) if settings.temperature else "none",
        }
        self.signature = one_line(self.identity)
        self._loaded: tuple[nnx.GraphDef, nnx.State, jax.sharding.Mesh] | None = None
        self._judge: Judge | None = None

    def _prompt(self) -> str:
        given = self.settings.prompt
        for directory in (self.settings.adapter, self.directory):
            if given is None and directory is not None:
                given = hf.read_record(directory).get("prompt")
        if given is None and self.settings.model == "embedded":
            given = _EMBEDDED_PROMPT
        if given is None:
            raise ValueError(f"{self.directory}: has no reeval.json that names its prompt; say --prompt=VERSION")
        return check_prompt(given).version

    def tokens(self, pair: Pair) -> int:
        """How long a pair's prompt is. Raises ValueError for one that no judge can be given."""
        return len(self.conversation.prompt(self.settings.mode, pair))

    def most_tokens(self) -> int | None:
        """The longest prompt that can be judged; None if nothing bounds it."""
        positions = hf.max_positions(self.directory)
        if positions is None:
            return self.settings.max_prompt_tokens
        most = positions - len(self.conversation.second) - 2 * self.settings.max_answer_tokens
        return min(most, self.settings.max_prompt_tokens or most)

    @property
    def room(self) -> int:
        """The longest prompt, in tokens, that `prepare` has made room for; 0 before."""
        return 0 if self._judge is None else self._judge.max_prompt_tokens

    def prepare(self, longest: int) -> Memory:
        """Load the judge, for prompts of up to `longest` tokens; says what it takes, before anything runs.

        Raises:
            ValueError: if that is more than there is.
        """
        graph, weights, mesh = self._load()
        if self._judge is None or self._judge.max_prompt_tokens < longest:
            self._judge = Judge(
                graph,
                self.conversation,
                mesh,
                slots=self.settings.slots,
                max_prompt_tokens=longest,
                max_answer_tokens=self.settings.max_answer_tokens,
                grammar=self.settings.grammar,
                temperature=self.settings.temperature,
                seed=self.settings.seed,
                max_positions=hf.max_positions(self.directory),
            )
        return self._judge.memory(weights, self.settings.mode)

    def score(self, pairs: Iterable[Pair]) -> Iterator[Sample]:
        """A sample for each pair as soon as it is done, in any order; `prepare` comes before."""
        assert self._judge is not None
        for row in self._judge.judge(self._load()[1], pairs, self.settings.mode):
            yield Sample.of(row)

    def _load(self) -> tuple[nnx.GraphDef, nnx.State, jax.sharding.Mesh]:
        if self._loaded is None:
            mesh = sharding.make_mesh(self.settings.mesh, jax.local_devices())
            model = hf.load_model(self.directory, dtype=self.settings.dtype, mesh=mesh, images=self.sees)
            graph, weights = nnx.split(model)
            if self.settings.adapter is not None:
                hf.load_adapter(self.settings.adapter, model)
                weights = lora.merge_weights(*lora.take_apart(model))
            self._loaded = graph, weights, mesh
        return self._loaded


def _digest(adapter: Path) -> str:
    """Of a PEFT directory: its settings and its weights."""
    files = [adapter / "adapter_config.json", *sorted(adapter.glob("*.safetensors"))]
    return hashlib.sha256("".join(map(file_sha256, files)).encode()).hexdigest()


def content_sha256(pair: Pair, *, images: bool) -> str:
    """Of all of a pair that a judge is given."""
    digest = hashlib.sha256()
    for text in (pair.reference, pair.candidate):
        digest.update(f"{len(text)} {text}".encode())
    if images and pair.image is not None:
        digest.update(Path(pair.image).read_bytes())
    return digest.hexdigest()


def mean(samples: Sequence[Sample]) -> float | None:
    """Of the scores that there are; None where there is none."""
    scores = [sample.score for sample in samples if sample.score is not None]
    return sum(scores) / len(scores) if scores else None


def bounds(samples: Sequence[Sample]) -> tuple[float, float] | None:
    """The mean if all pairs without a score had 0, and if all had 1."""
    if not samples:
        return None
    total, missing = sum(s.score or 0.0 for s in samples), sum(s.score is None for s in samples)
    return total / len(samples), (total + missing) / len(samples)
