"""A run: the config, the working directory that belongs to it, and the judge that both describe.

A working directory holds `run.json` (what was run, and with what), `checkpoints/`, `tensorboard/` and `eval/`.
"""

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jinja2
from etils import epath
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from reeval import embedded, hf, hosts, lora, sharding
from reeval.bucket import Bucket, is_url, name_of
from reeval.data.conversation import Conversation
from reeval.files import write_atomically
from reeval.models import MedGemmaConfig
from reeval.pairs import Pair

# What may differ between a run and its continuation: where it runs and how often it reports.
_FREE_SECTIONS = {"mesh", "eval", "profile"}
_FREE = {"train.log_every", "train.checkpoint_every", "train.workers", "train.evaluation_pairs"}
# Of fields that runs of before did not have, what they did: LoRA, as all did that do not say what they train.
_BEFORE = (
    ("model", "quantized", "none"),
    ("data", "batching", "packed"),
    ("train", "attention", "auto"),
    ("eval", "every", 0),
)
FINGERPRINT = 12  # characters of a digest that a signature shows
_MEGABYTE = 2**20
_FINGERPRINTED = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)


class Run:
    """One training run and all that follows from it."""

    def __init__(self, config: ConfigDict, workdir: str | Path):
        """
        Args:
            workdir: a path, or a gs:// URL. What a run writes in a bucket, but for checkpoints, it writes in a copy on
                this machine, and sends.
        Raises:
            ValueError: if it is a URL of another kind.
            OSError: if the bucket cannot be read.
        """
        self.config, self.name = config, name_of(workdir)
        self._bucket = Bucket(self.name) if is_url(workdir) else None
        self.workdir = self._bucket.copy if self._bucket else Path(workdir)
        self.checkpoints = epath.Path(self.name) / "checkpoints"
        self.tensorboard = self.workdir / "tensorboard"
        self.evaluations = self.workdir / "eval"

    def send(self, *, every: float = 0.0) -> None:
        """Send what is new to the bucket, if the directory is one; every so many seconds at most.

        Raises:
            OSError: if it cannot be written.
        """
        if self._bucket and hosts.first():
            self._bucket.send(every=every)

    def fetch(self) -> None:
        """Fetch what the first process sent, if the directory is a bucket. Raises OSError."""
        if self._bucket and not hosts.first():
            self._bucket.fetch()

    def claim(self, mesh: Mesh, images_sha256: str | None = None) -> dict[str, Any]:
        """Record what this run is, or make sure that the directory holds the same run.

        Until its first checkpoint a run is nothing that could be gone on with, and what is recorded of it gives way:
        the first try often ends at a wrong path.

        Args:
            images_sha256: of the images that training sees; None if it sees none.
        Raises:
            ValueError: if it holds another, naming the first field that differs.
        """
        train = self.config.data.get("train")  # no file where pairs are made as they are needed
        record = {
            "config": json.loads(self.config.to_json_best_effort()),
            "train_pairs_sha256": None if train is None else file_sha256(train),
            "train_images_sha256": images_sha256,
            "versions": versions(),
            "environment": {
                "mesh": dict(mesh.shape),
                "devices": mesh.devices.size,
                "processes": jax.process_count(),
                "commit": _commit(),
            },
        }
        path = self.workdir / "run.json"
        if path.exists() and any(self.checkpoints.glob("[0-9]*")):
            before = _read(path)
            self._must_equal(before["config"], record["config"], set(record["config"]) - _FREE_SECTIONS)
            self._must_split_batches_alike(before, mesh)
            if before["train_pairs_sha256"] != record["train_pairs_sha256"]:
                raise ValueError(
                    f"{train}: has changed since the run in {self.name} began; restore it or choose another --workdir"
                )
            if before.get("train_images_sha256") != images_sha256:
                raise ValueError(
                    f"{train}: its images have changed since the run in {self.name} began; restore "
                    "them or choose another --workdir"
                )
        hosts.wait("the run is looked at")
        if hosts.first():
            self.workdir.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(record, indent=2) + "\n")
            self.send()
        return record

    def check_judge(self) -> None:
        """Make sure that the directory's run trained the judge that the config describes. Raises ValueError."""
        before = recorded_config(self.workdir).to_dict()
        self._must_equal(before, json.loads(self.config.to_json_best_effort()), {"tuning", "model", "prompt", "lora"})

    def _must_split_batches_alike(self, before: dict[str, Any], mesh: Mesh) -> None:
        """Grouped batches have a multiple of the rows that the mesh splits them into: another mesh has others."""
        if self.config.data.get("batching") != "grouped":
            return
        shape = before["environment"]["mesh"]
        parts = shape["data"] * shape["fsdp"]
        if parts != sharding.batch_multiple(mesh):
            raise ValueError(
                f"{self.name}: holds a run with config.data.batching='grouped' on a mesh that splits batches in "
                f"{parts}, not in {sharding.batch_multiple(mesh)}; go on with such a config.mesh or choose another "
                "--workdir"
            )

    def _must_equal(self, before: dict[str, Any], now: dict[str, Any], sections: set[str]) -> None:
        old, new = _flat(before), _flat(now)
        for name in sorted(old | new):
            if name.split(".")[0] in sections and name not in _FREE and old.get(name) != new.get(name):
                raise ValueError(
                    f"{self.name}: holds a run with config.{name}={old.get(name)!r}, not {new.get(name)!r}; "
                    "use its own config or choose another --workdir"
                )


def recorded_config(workdir: str | Path) -> ConfigDict:
    """The config that a working directory's run was made with. Raises ValueError."""
    bucket = Bucket(name_of(workdir)) if is_url(workdir) else None
    path = (bucket.copy if bucket else Path(workdir)) / "run.json"
    if not path.is_file():
        raise ValueError(f"{workdir}: holds no run (no run.json); train first with `reeval train --workdir={workdir}`")
    return ConfigDict(_read(path)["config"])


def _read(path: Path) -> dict[str, Any]:
    """A run.json."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record["config"], dict):
            raise TypeError
        record["config"].setdefault("objective", "sft")
        if record["config"].setdefault("tuning", "lora") == "lora" and record["config"]["objective"] == "sft":
            for section, name, was in _BEFORE:
                record["config"][section].setdefault(name, was)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: damaged; restore it or choose another --workdir") from None
    return record


def base_directory(config: ConfigDict) -> Path:
    """The checkpoint directory of the base model; `embedded` is the judge in this package."""
    return embedded.DIRECTORY if config.model.path == "embedded" else Path(config.model.path)


def lora_config(config: ConfigDict) -> lora.LoRAConfig:
    """The adapter's config."""
    return lora.LoRAConfig(**config.lora)


def wants_images(config: ConfigDict) -> bool:
    """Whether a config's judge is given images where there are any.

    Raises:
        ValueError: if the config asks for images and its model cannot see.
    """
    directory = base_directory(config)
    if config.data.images and not isinstance(hf.load_config(directory), MedGemmaConfig):
        raise ValueError(f"config.data.images=True, but {directory} has no vision tower; set it to False")
    return config.data.images


def sees_images(config: ConfigDict, pairs: Sequence[Pair]) -> bool:
    """Whether a config's judge is given an image with any of the pairs; raises as `wants_images` does."""
    images = wants_images(config) and any(pair.image is not None for pair in pairs)
    if images:
        conversation(
            base_directory(config), config.prompt, True
        )  # what is wrong with it shows before all images are read
    return images


def load_base(config: ConfigDict, mesh: Mesh, images: bool = False) -> tuple[nnx.Module, Conversation]:
    """The base model of a config on the mesh, and its conversations.

    Args:
        images: whether it is given images; what sees them is not even read otherwise.
    """
    directory = base_directory(config)
    speaks = conversation(directory, config.prompt, images)
    how = {"dtype": config.model.dtype, "quantized": config.model.quantized}
    return hf.load_model(directory, mesh=mesh, images=images, **how), speaks


def conversation(directory: Path, prompt: str, images: bool) -> Conversation:
    """The conversations of a checkpoint directory with a prompt version. Raises ValueError."""
    hf.load_config(directory)  # what is wrong with it shows before anything large is read
    tokenizer = hf.load_tokenizer(directory)
    processor = hf.load_processor(directory, tokenizer) if images else None
    try:
        return Conversation(tokenizer, prompt, processor)
    except jinja2.TemplateError as error:
        # Its own words may be those of a template that quotes what it was given.
        reason = f"the chat template cannot be rendered ({type(error).__name__})"
        raise ValueError(f"{directory}: {reason}; fetch the tokenizer's files again") from None


def trained_weights(config: ConfigDict) -> Any:
    """The nnx filter of what a config trains."""
    return lora.DECODER if config.tuning == "full" else lora.LoRAParam


def add_adapters(config: ConfigDict, model: nnx.Module, mesh: Mesh) -> None:
    """Give the model the config's adapters, fresh ones, placed on the mesh, if it is those that it trains."""
    if config.tuning != "lora":
        return
    lora.add(model, lora_config(config), hf.module_name, rngs=nnx.Rngs(config.train.seed))
    adapters = nnx.state(model, lora.LoRAParam)
    nnx.update(model, jax.device_put(adapters, sharding.state_shardings(mesh, adapters)))


def one_line(identity: Mapping[str, str]) -> str:
    """All that decides a result, by name, as a signature to be reported beside it."""
    return "|".join(f"{name}:{value}" for name, value in identity.items())


def checkpoint_fingerprint(directory: Path) -> str:
    """A digest that tells checkpoints apart and is cheap whatever their size.

    Of the config, the tokenizer and the processor as they are, and of each file of weights its name, its size, and its
    first and last megabyte: training, even of a few layers, changes these.
    """
    digest = hashlib.sha256()
    for name in _FINGERPRINTED:
        if (directory / name).is_file():
            digest.update(f"{name} ".encode() + (directory / name).read_bytes())
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(f"{path.name} {path.stat().st_size} ".encode() + file.read(_MEGABYTE))
            file.seek(max(0, path.stat().st_size - _MEGABYTE))
            digest.update(file.read())
    return digest.hexdigest()


def file_sha256(path: str | Path) -> str:
    """Of a file's bytes. Raises ValueError where there is none."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Of what decides a result."""
    names = ("reeval", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "transformers", "tokenizers")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found | {"python": platform.python_version(), "device": jax.devices()[0].device_kind}


def _commit() -> str | None:
    """Of the checkout that the code runs from, with a plus where it was changed; None where it is no checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
