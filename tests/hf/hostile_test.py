"""Directories that are damaged, lie, or would do harm: one line that says so, and nothing half-written."""

import errno
import json
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import random_judge
import random_qwen3
from flax import nnx
from random_qwen3 import SHAPES
from safetensors.numpy import load_file, save_file

from reeval import cli, hf, lora, pairs, sharding
from reeval.hf import directory as directories
from reeval.hf import weights

SHAPE = "ratio4-untied-v5"
NAME = "model.layers.1.mlp.up_proj.weight"
INDEX = "model.safetensors.index.json"
ROOT = Path(__file__).parents[2]


def refused(directory, message, **kwargs):
    with pytest.raises(ValueError, match=message) as caught:
        hf.load_model(directory, **kwargs)
    text = str(caught.value)
    assert text.isprintable() and str(directory) in text
    return text


def rewrite_index(directory, change):
    index = json.loads((directory / INDEX).read_text())
    change(index["weight_map"])
    (directory / INDEX).write_text(json.dumps(index))


# NaN and infinity.


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_every_number_of_16_bits_is_judged_right(kind):
    numbers = np.arange(2**16, dtype=np.uint16).view(np.dtype(kind))
    found = [weights.finite(numbers[n : n + 1]) for n in range(2**16)]
    right = np.isfinite(numbers.astype(np.float32))
    np.testing.assert_array_equal(found, right)
    assert weights.finite(numbers[right]) and not weights.finite(numbers)


@pytest.mark.parametrize(
    ("bits", "right"),
    [
        (0x00000001, True), (0x80000000, True), (0x7F7FFFFF, True), (0xFF7FFFFF, True), (0x7F800000, False),
        (0xFF800000, False), (0x7F800001, False), (0x7FFFFFFF, False), (0xFFFFFFFF, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, weights._CACHED - 1, weights._CACHED, -1])
def test_numbers_of_32_bits_wherever_they_stand(bits, right, at):
    numbers = np.zeros(2 * weights._CACHED + 5, np.uint32)
    numbers[at] = bits
    assert weights.finite(numbers.view(np.float32)) == right
    assert weights.finite(numbers.view(np.float32)[::-1]) == right


def test_arrays_of_no_number_and_of_no_axis():
    assert weights.finite(np.zeros((0, 5), np.float32)) and weights.finite(np.array(1, ml_dtypes.bfloat16))
    assert not weights.finite(np.array(np.nan, np.float16))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("mesh", [None, (1, 2, 4)])
def test_weights_that_are_no_numbers_name_the_tensor_and_the_file(tmp_path, monkeypatch, dtype, value, mesh):
    monkeypatch.setattr("reeval.hf.load._BLOCK_BYTES", 300)
    held = random_qwen3.tensors(SHAPES[SHAPE])
    held[NAME][-1, -1] = value
    random_qwen3.write(tmp_path, SHAPES[SHAPE], held, dtype=dtype, files=2)
    text = refused(tmp_path, "holds NaN or infinite numbers", mesh=mesh and sharding.make_mesh(mesh))
    file = json.loads((tmp_path / INDEX).read_text())["weight_map"][NAME]
    assert text.startswith(f"{tmp_path / file}: {NAME} ")


def test_float16_asked_for_where_it_is_too_narrow(tmp_path):
    held = random_qwen3.tensors(SHAPES[SHAPE])
    held[NAME][0, 0] = 65504
    for dtype in (np.float32, ml_dtypes.bfloat16):
        random_qwen3.write(tmp_path, SHAPES[SHAPE], held, dtype=dtype)
        if dtype == np.float32:
            hf.load_model(tmp_path, dtype="float16")
        else:  # which rounds it up
            refused(tmp_path, f"{NAME} holds numbers beyond the range of float16; use bfloat16", dtype="float16")


# Files.


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry([2], 0, 8), "b": entry([3], 4, 16)},
        {"a": entry([4], 0, 16), "b": entry([4], 0, 16)},
        {"a": entry([2], 0, 8), "b": entry([2], 100, 108)},
        {"a": entry([2], 0, 8), "b": entry([1], 12, 16)},
        {"a": entry([4], 16, 32)},
        {"a": entry([2], 0, 8)},
        {"a": entry([5], 0, 16)},
        {"a": entry([4], 0, 16, "BF16")},
        {"a": entry([2**40, 2**40], 0, 16)},
        {"a": entry([-4], 0, 16)},
        {"a": entry([4], 16, 0)},
        {"a": entry([4], 0, 16, "F31")},
        {"a": []},
        [],
        b'{"a": {"dtype": "F32"',
        b"\xff" * 40,
        b"[" * 100_000,
        pickle.dumps({"a": 1}),
    ],
)
def test_headers_that_lie(tmp_path, header):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    assert "model.safetensors" in refused(tmp_path, "damaged or truncated")


@pytest.mark.parametrize("length", [0, 1, 2**40, 2**64 - 1])
def test_headers_of_a_length_that_is_none(tmp_path, length):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a": []}')
    refused(tmp_path, "damaged or truncated")


def test_names_that_would_break_the_line(tmp_path):
    held = random_qwen3.tensors(SHAPES[SHAPE])
    random_qwen3.write(tmp_path, SHAPES[SHAPE], held | {"two\nlines \x1b[31m": np.zeros(1)})
    refused(tmp_path, r"a tensor is named 'two\\nlines \\x1b\[31m'; refused")
    random_qwen3.write(tmp_path, SHAPES[SHAPE], held, files=2)
    (tmp_path / "model.safetensors").unlink()
    rewrite_index(tmp_path, lambda names: names.update({NAME: "two\nlines.safetensors"}))
    refused(tmp_path, r"names 'two\\nlines.safetensors'")


def test_tensors_without_numbers(tmp_path):
    held = random_qwen3.tensors(SHAPES[SHAPE])
    random_qwen3.write(tmp_path, SHAPES[SHAPE], held | {NAME: np.zeros((0, 32)), "lm_head.weight": np.zeros(())})
    text = refused(tmp_path, "not those of config.json")
    assert f"{NAME} [0, 32] instead of [88, 32]" in text and "lm_head.weight [] instead of [68, 32]" in text


def test_thousands_of_wrong_names_are_counted_not_listed(tmp_path):
    random_qwen3.write(tmp_path, SHAPES[SHAPE], {f"tensor {n}": np.zeros(1) for n in range(5000)})
    text = refused(tmp_path, "unexpected tensor 0, tensor 1, .* and 4970 more")
    assert len(text) < 5_000


def test_the_index_names_tensors_that_no_file_has(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=2)
    rewrite_index(tmp_path, lambda names: names.update({"model.extra": "model-00001-of-00002.safetensors"}))
    refused(tmp_path, "model.extra is not in model-00001-of-00002.safetensors as it says; fetch both again")


def test_names_in_the_index_that_no_file_or_line_can_hold(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=2)
    rewrite_index(tmp_path, lambda held: held.update({"evil\nkey\x1b[31m": "model-00001-of-00002.safetensors"}))
    assert "\x1b" not in refused(tmp_path, r"a tensor is named 'evil\\nkey")
    rewrite_index(tmp_path, lambda held: held.pop("evil\nkey\x1b[31m"))
    rewrite_index(tmp_path, lambda held: held.update({"lm_head.weight": "a" * 5000 + ".safetensors"}))
    assert len(refused(tmp_path, "which is no safetensors file of this directory; refused")) < 1000


@pytest.mark.parametrize("out", ["a" * 300, "file/out", "a" * 300 + "/out"])
def test_where_no_directory_can_be_made(tmp_path, out):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="give another") as caught:
        hf.save_merged(tmp_path / out, base)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_a_file_with_a_tensor_too_many_and_one_that_the_index_does_not_name(tmp_path):
    random_qwen3.checkpoint(tmp_path, SHAPE, files=2)
    save_file({"model.extra": np.zeros(1, np.float32)}, tmp_path / "model-00003-of-00003.safetensors")
    hf.load_model(tmp_path)  # not of this checkpoint, as for transformers
    rewrite_index(tmp_path, lambda names: names.pop(NAME))
    hf.load_model(tmp_path)  # what is in the files counts
    rewrite_index(tmp_path, lambda names: names.update({"model.extra": "model-00003-of-00003.safetensors"}))
    refused(tmp_path, "unexpected model.extra")


def test_pickled_weights_beside_others_are_never_opened(tmp_path):
    class Touch:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    random_qwen3.checkpoint(tmp_path, SHAPE)
    for name in ("pytorch_model.bin", "training_args.bin", "model.pt", "model.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(Touch()))
    hf.load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Touch()))
    refused(tmp_path, "damaged or truncated")
    (tmp_path / "model.safetensors").unlink()
    refused(tmp_path, "pickled weights, which can run code and are refused")
    assert not (tmp_path / "harm").exists()
    pickle.loads((tmp_path / "model.pt").read_bytes())
    assert (tmp_path / "harm").exists()


def test_files_may_be_links_as_in_the_cache_of_hugging_face(tmp_path):
    made = random_qwen3.checkpoint(tmp_path / "blobs", SHAPE, files=2)
    snapshot = tmp_path / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    for n, file in enumerate(sorted(made.iterdir())):
        file.rename(made / f"blob{n}")
        (snapshot / file.name).symlink_to(f"../../blobs/blob{n}")
    hf.load_model(snapshot)
    hf.save_merged(tmp_path / "out", snapshot)
    assert not any(file.is_symlink() for file in (tmp_path / "out").iterdir())
    link = snapshot / "model-00002-of-00002.safetensors"
    link.resolve().unlink()
    refused(snapshot, "names model-00002-of-00002.safetensors, not in the directory; fetch the rest")


def test_a_file_that_goes_or_changes_while_it_is_read(tmp_path):
    file = random_qwen3.checkpoint(tmp_path, SHAPE) / "model.safetensors"
    held = weights.Weights(tmp_path)
    content = file.read_bytes()
    for change in (lambda: file.write_bytes(content[:-1]), file.unlink):
        change()
        with pytest.raises(ValueError, match=r"can no longer be read .* was the file changed\?") as caught:
            held.read(NAME)
        assert str(caught.value).startswith(f"{file}: {NAME} ")


DENIED = """
import os, sys
import jax
from reeval import hf
jax.devices()
if os.geteuid() == 0:  # who may read everything
    os.setgid(65534)
    os.setuid(65534)
try:
    hf.load_model(sys.argv[1])
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("path", "mode", "named"),
    [
        ("base", 0o000, "base/config.json"),
        ("base", 0o711, "base"),
        ("base/config.json", 0o000, "base/config.json"),
        ("base/model-00002-of-00002.safetensors", 0o000, "base/model-00002-of-00002.safetensors"),
    ],
)
def test_what_may_not_be_read(path, mode, named):
    with tempfile.TemporaryDirectory() as made:  # pytest's own is closed to others
        os.chmod(made, 0o755)
        base = random_qwen3.checkpoint(Path(made) / "base", SHAPE, files=2)
        (base / INDEX).unlink()  # so that the directory has to be listed
        for file in base.iterdir():
            os.chmod(file, 0o644)
        os.chmod(Path(made) / path, mode)
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", DENIED, str(base)]
        said = subprocess.run(command, env=environment, capture_output=True, text=True).stdout
        os.chmod(base, 0o755)
    assert said == f"{Path(made) / named}: Permission denied\n"


# config.json.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is larger than any model's"),
        ({"num_hidden_layers": 1000}, "missing model.layers.10.* and 10948 more"),
        ({"vocab_size": 10**18}, "vocab_size is larger"),
        ({"hidden_size": 10**30}, "hidden_size is larger"),
        ({"vocab_size": 2**24, "hidden_size": 2**24, "intermediate_size": 2**24}, "misshapen .*16777216"),
        ({"vocab_size": 69}, r"misshapen .*lm_head.weight \[68, 32\] instead of \[69, 32\]"),
        ({"num_hidden_layers": 1}, f"unexpected .*{NAME}"),
        ({"num_key_value_heads": 4}, r"misshapen .*k_proj.weight \[12, 32\] instead of \[24, 32\]"),
        (
            {"tie_word_embeddings": True},
            "config.json ties lm_head.weight to model.embed_tokens.weight, but they differ",
        ),
        ({"model_type": []}, r"model_type \[\] is not supported"),
        ({"model_type": {"a": 1}}, "is not supported"),
        ({"rms_norm_eps": 10**400}, "config.json: .*"),
        ({"rms_norm_eps": "1e-6"}, "rms_norm_eps is no number above 0"),
        ({"rope_parameters": {"rope_type": ["default"]}}, "rope"),
        ({"rope_parameters": 3}, "rope_parameters"),
        ({"layer_types": 3}, "config.json: .*"),
        ({"hidden_size": True}, "hidden_size is no whole number above 0"),
        ({"head_dim": 6.0}, "head_dim is no whole number above 0"),
    ],
)
def test_configs_that_disagree_or_are_absurd(tmp_path, fields, message):
    random_qwen3.write(tmp_path, SHAPES[SHAPE] | fields, random_qwen3.tensors(SHAPES[SHAPE]))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert len(refused(tmp_path, message)) < 5_000
    assert time.monotonic() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("content", ["[" * 100_000, '{"model_type": "qwen3", "vocab_size": ' + "9" * 5000 + "}", "\0"])
def test_configs_that_no_reader_takes(tmp_path, content):
    random_qwen3.checkpoint(tmp_path, SHAPE)
    (tmp_path / "config.json").write_text(content)
    refused(tmp_path, "config.json: not valid JSON")
    (tmp_path / INDEX).write_text(content)
    (tmp_path / "model.safetensors").rename(tmp_path / "a.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SHAPES[SHAPE]))
    refused(tmp_path, "not an index of safetensors files")


# Exports.


def adapted(base, size=0.2):
    """An adapter of the model of a directory, and its config."""
    model, config = hf.load_model(base), lora.LoRAConfig(rank=3, alpha=7.0)
    lora.add(model, config, hf.module_name, rngs=nnx.Rngs(3))
    noise = np.random.default_rng(3)
    return {
        name: jnp.asarray(noise.normal(size=x.shape) * size, jnp.float32)
        for name, x in lora.take_apart(model)[1].items()
    }, config


def not_exported(out, message, base, *adapter):
    with pytest.raises(ValueError, match=message) as caught:
        hf.save_merged(out, base, *adapter)
    assert str(caught.value).isprintable()
    assert sorted(path.name for path in out.parent.iterdir()) == ["base"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_what_is_no_number_is_not_exported(tmp_path, dtype):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE, dtype=dtype)
    adapter, config = adapted(base)
    path = "layers.mlp.up.lora.b"
    diverged = adapter | {path: adapter[path].at[1].set(jnp.nan)}
    not_exported(tmp_path / "out", f"{NAME} would be NaN or infinite", base, diverged, config)
    huge = {name: x * np.float32(1e38) for name, x in adapter.items()}
    not_exported(tmp_path / "out", "would be NaN or infinite", base, huge, config)
    held = random_qwen3.tensors(SHAPES[SHAPE])
    held["model.norm.weight"][3] = np.nan
    random_qwen3.write(base, SHAPES[SHAPE], held, dtype=dtype)
    not_exported(tmp_path / "out", "model.safetensors: model.norm.weight holds NaN", base, adapter, config)
    not_exported(tmp_path / "out", "model.safetensors: model.norm.weight holds NaN", base)


def test_a_sum_beyond_float16_is_said(tmp_path):
    held = random_qwen3.tensors(SHAPES[SHAPE])
    held[NAME][:] = 65504
    base = random_qwen3.write(tmp_path / "base", SHAPES[SHAPE], held, dtype=np.float16)
    adapter, config = adapted(base, size=4.0)
    message = f"{NAME} would be NaN or infinite: training diverged, or float16 is too narrow"
    not_exported(tmp_path / "out", message, base, adapter, config)


def test_nothing_is_written_over_the_base(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    (tmp_path / "config.json").write_text("{}")  # as if it were a model's directory
    for out in (base, tmp_path, base / ".." / "base"):
        with pytest.raises(ValueError, match="is or holds the base model's own directory; give another"):
            hf.save_merged(out, base, overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "base")
    with pytest.raises(ValueError, match="base model's own directory"):
        hf.save_merged(tmp_path / "link", base, overwrite=True)
    hf.load_model(base)


def test_a_link_to_where_to_write_is_followed(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    (tmp_path / "disk").mkdir()
    for name, target in (("empty", "disk"), ("dangling", "new")):
        (tmp_path / name).symlink_to(target)
        hf.save_merged(tmp_path / name, base)
        assert (tmp_path / name).is_symlink()
        hf.load_model(tmp_path / target)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_says_where(tmp_path, monkeypatch, number):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)

    def full(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(directories.os, "fsync", full)
    with pytest.raises(OSError, match=f"{os.strerror(number)}: '{tmp_path / 'out'}'"):
        hf.save_merged(tmp_path / "out", base)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


KILLED = """
import os, signal, sys
from reeval import hf
plain, count = hf.weights.Weights.read, []
def read(self, name, slices=()):
    count.append(name)
    if len(count) == 9:
        os.kill(os.getpid(), signal.{signal})
    return plain(self, name, slices)
hf.weights.Weights.read = read
hf.save_merged(sys.argv[2], sys.argv[1])
"""


def killed(base, out, name):
    program = textwrap.dedent(KILLED).format(signal=name)
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", program, str(base), str(out)], env=environment)


def test_a_killed_export_leaves_no_directory_and_the_next_removes_what_it_left(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    (tmp_path / ".out.mine").mkdir()
    assert killed(base, tmp_path / "out", "SIGKILL").wait() == -signal.SIGKILL
    (left,) = tmp_path.glob(".out.unfinished-*")
    assert (left / "model.safetensors").is_file() and not (tmp_path / "out").exists()
    hf.save_merged(tmp_path / "other", base)
    assert left.exists()
    hf.save_merged(tmp_path / "out", base)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.mine", "base", "other", "out"]
    hf.load_model(tmp_path / "out")


def test_an_export_under_way_is_left_alone(tmp_path):
    base = random_qwen3.checkpoint(tmp_path / "base", SHAPE)
    other = killed(base, tmp_path / "out", "SIGSTOP")
    try:
        os.waitid(os.P_PID, other.pid, os.WSTOPPED | os.WNOWAIT)
        hf.save_merged(tmp_path / "out", base)
        assert len(list(tmp_path.glob(".out.unfinished-*"))) == 1
        other.send_signal(signal.SIGCONT)
        assert other.wait() == 1  # the name is taken
    finally:
        other.kill()
        other.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "out"]
    hf.load_model(tmp_path / "out")


# Through the command.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base model and the run that has trained an adapter for it."""
    directory = tmp_path_factory.mktemp("trained")
    base = random_judge.write_judge(directory / "base")
    pairs.write(directory / "pairs.jsonl", random_judge.pairs(6))
    fields = {
        "model.path": base, "data.train": directory / "pairs.jsonl", "data.sequence_length": 512, "train.steps": 1,
        "train.warmup_steps": 0, "train.batch_size": 8,
    }  # fmt: skip
    flags = [f"--config.{name}={value}" for name, value in fields.items()]
    argv = ["train", f"--config={ROOT / 'configs' / 'tiny.py'}", f"--workdir={directory / 'run'}", *flags]
    assert cli.main(argv) == 0
    return directory


def _nan(base):
    held = load_file(base / "model.safetensors")
    held[NAME][0, 0] = np.inf
    save_file(held, base / "model.safetensors")


def _index(name):
    def change(base):
        (base / "model.safetensors").rename(base / "model-00001-of-00001.safetensors")
        (base / INDEX).write_text(json.dumps({"weight_map": {NAME: name}}))

    return change


def _config(base):
    raw = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(raw | {"intermediate_size": 10**9}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_nan, f"base/model.safetensors: {NAME} holds NaN or infinite numbers"),
        (lambda base: (base / "model.safetensors").rename(base / "model.bin"), "pickled weights"),
        (lambda base: os.truncate(base / "model.safetensors", 5000), "damaged or truncated"),
        (_index("../../pairs.safetensors"), "no safetensors file of this directory; refused"),
        (_index("model-00002-of-00002.safetensors"), "not in the directory; fetch the rest"),
        (_index("model-00001-of-00001.safetensors"), None),
        (_config, "intermediate_size is larger than any model's"),
    ],
)
def test_reeval_export_of_a_damaged_base(trained, tmp_path, capsys, change, says):
    before = {file: file.read_bytes() for file in (trained / "base").iterdir()}
    try:
        change(trained / "base")
        code = cli.main(["export", f"--workdir={trained / 'run'}", f"--out={tmp_path / 'out'}"])
    finally:
        for file in (trained / "base").iterdir():
            file.unlink()
        for file, content in before.items():
            file.write_bytes(content)
    errors = capsys.readouterr().err.splitlines()
    if says is None:
        assert code == 0 and not errors and (tmp_path / "out/config.json").is_file()
        return
    assert code == 2 and len(errors) == 1 and errors[0].startswith("reeval: ") and says in errors[0], errors
    assert list(tmp_path.iterdir()) == []


def test_reeval_export_onto_a_full_disk(trained, tmp_path):
    """A limit on the size of files stands for the disk: the kernel refuses to write on, half way through a file."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from reeval import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "export", f"--workdir={trained / 'run'}", f"--out={tmp_path / 'out'}"],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"reeval: {tmp_path / 'out'}: File too large\n"
    assert list(tmp_path.iterdir()) == []
