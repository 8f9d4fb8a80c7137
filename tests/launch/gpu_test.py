"""launch/gpu.sh, launch/gpu_check.py and launch/slurm.sbatch, with stand-ins for nvidia-smi, reeval, srun and scontrol.

What they stand in for has not been run: these tests say what the scripts ask of it, and do with its answers.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
H200 = "{}, NVIDIA H200, 580.95.05, 9.0, 143771\n"
FOUR = "".join(H200.format(index) for index in range(4))
PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda13-pjrt")
SHOWN = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "JAX_PLATFORMS", "XLA_CLIENT_MEM_FRACTION"),
    *("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_FLAGS", "JAX_LOCAL_DEVICE_IDS", "SLURMD_NODENAME"),
)

SMI = """#!/bin/sh
printf '%s\\n' "$*" >"{0}/asked"
cat "{0}/gpus.$SLURMD_NODENAME" 2>/dev/null || cat "{0}/gpus"
exit "$(cat "{0}/smi_code")"
"""
# As `python -m reeval.cli` it writes down how it was called and ends with the next of the codes, or waits for a signal;
# launch/gpu_check.py it runs, without the packages of this environment.
PYTHON = """#!{1} -S
import json, os, pathlib, signal, sys, time
here = pathlib.Path("{0}")
if sys.argv[1] != "-m":
    os.execv("{1}", ["{1}", "-S", *sys.argv[1:]])
codes = (here / "codes").read_text().split()
calls = len((here / "calls").read_text().splitlines()) if (here / "calls").exists() else 0
code = codes[min(calls, len(codes) - 1)]
try:
    if code == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    with open(here / "calls", "a") as out:
        out.write(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n")
    if code == "wait":
        time.sleep(60)
except KeyboardInterrupt:  # which Python raises only where SIGINT is not ignored
    sys.exit(130)
if code.startswith("-"):
    os.kill(os.getpid(), -int(code))
sys.exit(int(code))
"""
# Two nodes, one after the other; the exit code is the greatest, as the real one's.
SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"{0}/srun_calls"
while [[ $1 == --* ]]; do shift; done
worst=0
for node in node1 node2; do
    code=0
    SLURMD_NODENAME=$node SLURM_NTASKS=2 "$@" || code=$?
    if ((code > worst)); then worst=$code; fi
done
if [[ -e "{0}/scancel" && $1 == bash ]]; then kill -TERM "$PPID"; fi
exit "$worst"
"""
SCONTROL = """#!/bin/sh
printf '%s\\n' "$*" >>"{0}/scontrol_calls"
exit "$(cat "{0}/scontrol_code")"
"""


class Machine:
    """A directory with stand-ins, and what is set where they run. Four GPUs, and nothing missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir()
        scripts = {"nvidia-smi": SMI, "python": PYTHON, "srun": SRUN, "scontrol": SCONTROL}
        for name, text in scripts.items():
            (self.bin / name).write_text(text.replace("{0}", str(directory)).replace("{1}", sys.executable))
            (self.bin / name).chmod(0o755)
        self.write(gpus=FOUR, smi_code="0", codes="0", scontrol_code="0")
        self.packages(**dict.fromkeys(PACKAGES, "0.10.2"))
        self.set = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "PYTHON": str(self.bin / "python"),
            "PYTHONPATH": str(directory / "site"),
            "REEVAL_PAUSE_SECONDS": "0",
        }

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.directory / name).write_text(text)

    def packages(self, **versions: str) -> None:
        shutil.rmtree(self.directory / "site", ignore_errors=True)
        for name, version in versions.items():
            info = self.directory / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=self.set | environment, capture_output=True, text=True, timeout=60, check=False
        )

    def check(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-S", "launch/gpu_check.py", *arguments, **environment)

    def gpu(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("bash", "launch/gpu.sh", *arguments, **environment)

    def sbatch(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        job = {"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "2"}
        return self.run("bash", "launch/slurm.sbatch", *arguments, **(job | environment))

    def lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def calls(self) -> list[tuple[list[str], dict[str, Any]]]:
        """Of reeval: its arguments, and its environment as far as it matters here."""
        calls = [json.loads(line) for line in self.lines("calls")]
        return [(argv, {name: env[name] for name in SHOWN if name in env}) for argv, env in calls]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def assert_one_line(done: subprocess.CompletedProcess[str], pattern: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"reeval: {pattern}\n", done.stderr), done.stderr


# The check


def test_nothing_missing(machine: Machine) -> None:
    done = machine.check()
    assert (done.returncode, done.stdout, done.stderr) == (0, "0,1,2,3\n", "")
    assert machine.lines("asked") == [
        "--query-gpu=index,name,driver_version,compute_cap,memory.total --format=csv,noheader,nounits"
    ]
    assert machine.check("--gpus=3,1").stdout == "3,1\n"
    assert machine.check(CUDA_VISIBLE_DEVICES="2").stdout == "2\n"
    assert machine.check("--gpus=0", CUDA_VISIBLE_DEVICES="2").stdout == "0\n"
    assert machine.check(CUDA_VISIBLE_DEVICES="GPU-8932f937,MIG-1").stdout == "GPU-8932f937,MIG-1\n"


def test_no_driver(machine: Machine) -> None:
    (machine.bin / "nvidia-smi").unlink()
    assert_one_line(machine.check(PATH=str(machine.bin)), "no NVIDIA driver: nvidia-smi is not on the PATH; install .*")


def test_a_driver_that_fails(machine: Machine) -> None:
    machine.write(smi_code="9", gpus="NVIDIA-SMI has failed because it couldn't talk\nto the driver.\n")
    assert_one_line(machine.check(), r"nvidia-smi fails \(NVIDIA-SMI has .* to the driver\.\); is a driver of 580.*")


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ("0, NVIDIA H200, 575.57.08, 9.0, 143771\n", "the NVIDIA driver is 575.57.08, and CUDA 13 needs 580 .*"),
        ("0, Tesla V100-SXM2-32GB, 580.95.05, 7.0, 32768\n", r"GPU 0 \(Tesla V100-SXM2-32GB\) has .* 7\.0, .* 7\.5 .*"),
        ("No devices were found\n", "nvidia-smi names no GPU that can be used: it says 'No devices were found'"),
        ("0, NVIDIA H200, 580.95.05, [N/A], 143771\n", "nvidia-smi names no GPU that can be used: .*"),
        ("", "nvidia-smi names no GPU: .*"),
    ],
)
def test_gpus_that_do_not_do(machine: Machine, gpus: str, words: str) -> None:
    machine.write(gpus=gpus)
    assert_one_line(machine.check(), words)


def test_only_the_chosen_gpus_must_do(machine: Machine) -> None:
    machine.write(gpus=H200.format(0) + "1, Quadro P400, 580.95.05, 6.1, 2048\n")
    assert machine.check("--gpus=0").stdout == "0\n"
    assert machine.check(CUDA_VISIBLE_DEVICES="0").stdout == "0\n"
    assert_one_line(machine.check(), r"GPU 1 \(Quadro P400\) .*")


def test_compute_capability_is_no_decimal(machine: Machine) -> None:
    machine.write(gpus="0, Of tomorrow, 1000.1, 12.10, 1\n")
    assert machine.check().returncode == 0


@pytest.mark.parametrize(
    ("arguments", "visible", "words"),
    [
        (["--gpus=0,4"], None, "--gpus=0,4: there is no GPU 4; nvidia-smi names 0,1,2,3"),
        (["--gpus=all"], None, "--gpus=all: must be numbers .*"),
        (["--gpus="], None, "--gpus=: must be numbers .*"),
        (["--gpus=1,1"], None, "--gpus=1,1: must be numbers of nvidia-smi, each once, .*"),
        (["--gpu=1"], None, ".* does not know --gpu=1; it takes --gpus=0,1"),
        ([], "7", "CUDA_VISIBLE_DEVICES=7: there is no GPU 7; .*"),
        ([], "", "CUDA_VISIBLE_DEVICES= hides every GPU: .*"),
        ([], "-1", "CUDA_VISIBLE_DEVICES=-1 hides every GPU: .*"),
    ],
)
def test_gpus_that_are_not_there(machine: Machine, arguments: list[str], visible: str | None, words: str) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert_one_line(machine.check(*arguments, **environment), words)


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_of_another_version(machine: Machine, name: str) -> None:
    machine.packages(**dict.fromkeys(PACKAGES, "0.10.2") | {name: "0.10.1"})
    one = "jax-?[a-z0-9-]*" if name == "jaxlib" else name
    said = r"0\.10\.2 and jaxlib 0\.10\.1" if name == "jaxlib" else r"0\.10\.1 and jaxlib 0\.10\.2"
    remedy = rf".* -m pip install 'jax\[cuda13\]==0\.10\.{1 if name == 'jax' else 2}'"
    assert_one_line(machine.check(), f"{one} is {said}; they must be the same: {remedy}")


def test_packages_not_installed(machine: Machine) -> None:
    machine.packages(jax="0.12.0.1", jaxlib="0.12.0.1")
    assert_one_line(
        machine.check(),
        r"jax-cuda13-plugin and jax-cuda13-pjrt not installed: .* -m pip install 'jax\[cuda13\]==0\.12\.0\.1'",
    )
    machine.packages()
    assert_one_line(machine.check(), r"jax and jaxlib and .* not installed: .* -m pip install 'jax\[cuda13\]'")


def test_libraries_that_override(machine: Machine) -> None:
    driver, cuda = machine.directory / "driver", machine.directory / "cuda"
    for path in (driver / "libcuda.so.1", cuda / "libcudnn.so.9"):
        path.parent.mkdir()
        path.touch()
    done = machine.check(LD_LIBRARY_PATH=f"{driver}:/nowhere:")
    assert (done.returncode, done.stderr) == (0, "")
    done = machine.check(LD_LIBRARY_PATH=f"{driver}:{cuda}")
    assert (done.returncode, done.stdout) == (0, "0,1,2,3\n")
    assert re.fullmatch(f"reeval: warning: LD_LIBRARY_PATH has {cuda}, .*\n", done.stderr)


def test_the_check_names_the_node(machine: Machine) -> None:
    assert_one_line(machine.check("--gpus=9", SLURMD_NODENAME="node7"), "node7: --gpus=9: there is no GPU 9; .*")


# One machine


def test_arguments_arrive_as_they_are(machine: Machine) -> None:
    arguments = ["train", "--workdir=my runs/q", "it's", '"$HOME" `id` $(id)', "", "*", "--", "--gpus=9", "a\nb", "\\"]
    done = machine.gpu("--gpus=0,2", "--", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls() == [
        (
            ["-m", "reeval.cli", *arguments],
            {
                "CUDA_VISIBLE_DEVICES": "0,2",
                "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
                "JAX_PLATFORMS": "cuda",
                "XLA_CLIENT_MEM_FRACTION": "0.9",
                "XLA_FLAGS": "--xla_gpu_enable_latency_hiding_scheduler=true",
                "JAX_LOCAL_DEVICE_IDS": "0,1",
            },
        )
    ]


def environment_of(machine: Machine, *options: str, **environment: str) -> dict[str, Any]:
    assert machine.gpu(*options, "--", "train", **environment).returncode == 0
    return machine.calls()[-1][1]


def test_what_is_set_already_is_kept(machine: Machine) -> None:
    seen = environment_of(machine, CUDA_VISIBLE_DEVICES="3,2", CUDA_DEVICE_ORDER="FASTEST_FIRST", JAX_PLATFORMS="cpu")
    assert (seen["CUDA_VISIBLE_DEVICES"], seen["CUDA_DEVICE_ORDER"]) == ("3,2", "FASTEST_FIRST")
    # But never the CPU.
    assert seen["JAX_PLATFORMS"] == "cuda"
    seen = environment_of(machine, XLA_CLIENT_MEM_FRACTION=".5", JAX_LOCAL_DEVICE_IDS="1")
    assert (seen["XLA_CLIENT_MEM_FRACTION"], seen["JAX_LOCAL_DEVICE_IDS"]) == (".5", "1")
    # jax refuses both names at once.
    seen = environment_of(machine, XLA_PYTHON_CLIENT_MEM_FRACTION=".6")
    assert seen["XLA_PYTHON_CLIENT_MEM_FRACTION"] == ".6" and "XLA_CLIENT_MEM_FRACTION" not in seen


@pytest.mark.parametrize(
    ("already", "then"),
    [
        ("--xla_dump_to=/d --a", "--xla_dump_to=/d --a --xla_gpu_enable_latency_hiding_scheduler=true"),
        ("--xla_gpu_enable_latency_hiding_scheduler=false", "--xla_gpu_enable_latency_hiding_scheduler=false"),
        ("flags.txt", "flags.txt"),
    ],
)
def test_flags_of_xla_are_kept(machine: Machine, already: str, then: str) -> None:
    assert environment_of(machine, XLA_FLAGS=already)["XLA_FLAGS"] == then


def test_one_gpu_has_nothing_to_overlap(machine: Machine) -> None:
    seen = environment_of(machine, "--gpus=3")
    assert "XLA_FLAGS" not in seen and seen["JAX_LOCAL_DEVICE_IDS"] == "0"
    assert "XLA_FLAGS" in environment_of(machine, "--gpus=3", SLURM_NTASKS="2")


@pytest.mark.parametrize("code", [0, 1, 2, 75])
def test_exit_codes_are_those_of_reeval(machine: Machine, code: int) -> None:
    machine.write(codes=str(code))
    done = machine.gpu("--", "train")
    assert (done.returncode, done.stderr) == (code, "")
    assert len(machine.calls()) == 1


def test_nothing_runs_where_something_is_missing(machine: Machine) -> None:
    assert_one_line(machine.gpu("--gpus=4", "--", "train"), "--gpus=4: there is no GPU 4; .*")
    assert_one_line(machine.gpu("--keep-alive", "--gpus=4", "--", "train"), "--gpus=4: there is no GPU 4; .*")
    assert not machine.calls()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "launch/gpu.sh: say what to run after --: .*"),
        (["--"], "launch/gpu.sh: say what to run after --: .*"),
        (["--gpus=0"], "launch/gpu.sh: say what to run after --: .*"),
        (["train", "--", "x"], "launch/gpu.sh: no option train; what is for reeval stands after --: .*"),
        (["--gpus", "0", "--", "train"], "launch/gpu.sh: no option --gpus; .*"),
    ],
)
def test_wrong_use(machine: Machine, arguments: list[str], words: str) -> None:
    assert_one_line(machine.gpu(*arguments), words)


def test_which_python(machine: Machine) -> None:
    assert_one_line(machine.gpu("--", "train", PYTHON="/nowhere/python"), "no Python at /nowhere/python; .*")
    # An environment that is active.
    del machine.set["PYTHON"]
    assert machine.gpu("--", "train", VIRTUAL_ENV=str(machine.directory)).returncode == 0
    assert len(machine.calls()) == 1


def test_paths_are_those_of_the_caller(machine: Machine) -> None:
    machine.set["PATH"] += f":{ROOT}"
    done = subprocess.run(
        ["bash", ROOT / "launch/gpu.sh", "--", "train"], cwd=machine.directory, env=machine.set, check=False
    )
    assert done.returncode == 0
    assert json.loads(machine.lines("calls")[0])[1]["PWD"] == str(machine.directory)


# Kept alive


@pytest.mark.parametrize(
    ("codes", "last", "starts"),
    [
        ("75 75 75 75 0", 0, 5),
        ("75 1 0", 1, 2),
        ("75 2 0", 2, 2),
        ("-9 0", 0, 2),
        ("-15 137 75 134 0", 0, 5),
        ("0", 0, 1),
        # Out of memory each time, or a flag that XLA does not know: no end of it.
        ("-6 -6 -6 0", 134, 3),
    ],
)
def test_keep_alive(machine: Machine, codes: str, last: int, starts: int) -> None:
    machine.write(codes=codes)
    done = machine.gpu("--keep-alive", "--gpus=1", "--", "train", "a b")
    assert done.returncode == last
    calls = machine.calls()
    assert len(calls) == starts and all(call == calls[0] for call in calls)
    assert calls[0][0] == ["-m", "reeval.cli", "train", "a b"]
    again = re.findall("^reeval: ended with exit code [0-9]+; started again in 0 s$", done.stderr, re.MULTILINE)
    assert len(again) == starts - 1
    assert ("not started again" in done.stderr) == (last == 134)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("options", [[], ["--keep-alive"]])
@pytest.mark.parametrize(("which", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signals_are_passed_on(machine: Machine, options: list[str], which: signal.Signals, code: int) -> None:
    machine.write(codes="wait")
    command = ["bash", "launch/gpu.sh", *options, "--", "train"]
    with subprocess.Popen(command, cwd=ROOT, env=machine.set, stderr=subprocess.PIPE, text=True) as process:
        until(machine.calls)
        process.send_signal(which)
        _, said = process.communicate(timeout=30)
    # And asked to stop, it starts nothing again.
    assert (process.returncode, said, len(machine.calls())) == (code, "", 1)


def test_a_stop_between_two_starts(machine: Machine) -> None:
    machine.write(codes="75 0")
    command = ["bash", "launch/gpu.sh", "--keep-alive", "--", "train"]
    environment = machine.set | {"REEVAL_PAUSE_SECONDS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "started again in 1 s" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert (process.returncode, len(machine.calls())) == (75, 1)


# Slurm


def test_one_process_a_node(machine: Machine) -> None:
    arguments = ["train", "--workdir=my runs", "it's $HOME", ""]
    machine.write(**{"gpus.node2": H200.format(0)})
    done = machine.sbatch(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    check, start = machine.lines("srun_calls")
    options = "--ntasks=2 --ntasks-per-node=1 --cpu-bind=none --kill-on-bad-exit=0 "
    assert check == f"{options}{machine.set['PYTHON']} launch/gpu_check.py"
    assert start.startswith(f"{options}bash launch/gpu.sh -- train")
    assert [argv for argv, _ in machine.calls()] == [["-m", "reeval.cli", *arguments, "--distributed"]] * 2
    nodes = [(env["SLURMD_NODENAME"], env["JAX_LOCAL_DEVICE_IDS"]) for _, env in machine.calls()]
    # All GPUs of each node, of which jax would take one.
    assert nodes == [("node1", "0,1,2,3"), ("node2", "0")]
    assert all("latency_hiding" in env["XLA_FLAGS"] for _, env in machine.calls())
    assert not machine.lines("scontrol_calls")


def test_the_node_that_lacks_something_says_so(machine: Machine) -> None:
    machine.write(**{"gpus.node2": "0, NVIDIA H200, 550.54.15, 9.0, 143771\n"})
    assert_one_line(machine.sbatch("train"), "node2: the NVIDIA driver is 550.54.15, and CUDA 13 needs 580 .*")
    assert not machine.calls() and not machine.lines("scontrol_calls")


@pytest.mark.parametrize(
    ("restarts", "most", "refused", "calls", "words"),
    [
        ({}, {}, "0", ["requeue 77"], r"back in the queue \(1 of at most 20 times\)"),
        ({"SLURM_RESTART_COUNT": "19"}, {}, "0", ["requeue 77"], r"back in the queue \(20 of at most 20 times\)"),
        ({"SLURM_RESTART_COUNT": "20"}, {}, "0", [], "requeued 20 times already; sbatch the same command again"),
        ({"SLURM_RESTART_COUNT": "20"}, {"REEVAL_REQUEUES": "21"}, "0", ["requeue 77"], r"\(21 of at most 21 times\)"),
        ({}, {"REEVAL_REQUEUES": "0"}, "0", [], "requeued 0 times already; "),
        ({}, {}, "1", ["requeue 77"], "Slurm does not requeue the job; sbatch the same command again"),
    ],
)
def test_requeue(
    machine: Machine, restarts: dict[str, str], most: dict[str, str], refused: str, calls: list[str], words: str
) -> None:
    machine.write(codes="75", scontrol_code=refused)
    done = machine.sbatch("train", **restarts, **most)
    assert done.returncode == 75
    assert re.fullmatch(f"reeval: stopped with its work saved, .*{words}.*\n", done.stderr)
    assert machine.lines("scontrol_calls") == calls


@pytest.mark.parametrize("code", ["1", "2", "-9"])
def test_nothing_else_is_requeued(machine: Machine, code: str) -> None:
    machine.write(codes=code)
    assert machine.sbatch("train").returncode == (137 if code == "-9" else int(code))
    assert not machine.lines("scontrol_calls")


def test_a_job_that_is_cancelled_is_not_requeued(machine: Machine) -> None:
    machine.write(codes="75", scancel="")
    assert machine.sbatch("train").returncode == 75
    assert not machine.lines("scontrol_calls")


def test_wrong_use_under_slurm(machine: Machine) -> None:
    assert_one_line(machine.sbatch(), "launch/slurm.sbatch: say what to run: .*")
    assert_one_line(machine.sbatch("train", SLURM_JOB_ID=""), "launch/slurm.sbatch runs under Slurm only; .*")
    del machine.set["PYTHON"]
    assert_one_line(machine.sbatch("train"), "launch/slurm.sbatch: no Python; .*")
    done = subprocess.run(
        ["bash", ROOT / "launch/slurm.sbatch", "train"],
        cwd=machine.directory,
        env=machine.set | {"SLURM_JOB_ID": "77"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_line(done, "launch/slurm.sbatch: no launch/gpu.sh under .*; submit it from the checkout of reeval")


def test_what_the_job_asks_of_slurm() -> None:
    lines = (ROOT / "launch/slurm.sbatch").read_text().splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    # Slurm reads them up to the first command.
    assert lines[1 : 1 + len(asked)] == [f"#SBATCH {option}" for option in asked]
    assert {"--ntasks-per-node=1", "--exclusive", "--requeue", "--signal=TERM@120", "--open-mode=append"} <= set(asked)


def test_the_scripts_name_what_exists() -> None:
    text = "".join((ROOT / path).read_text() for path in ("launch/gpu.sh", "launch/slurm.sbatch", "docs/launch.md"))
    for path in set(re.findall(r"\b(?:(?:tests/)?launch|configs)/\w+\.(?:sh|py|sbatch)\b", text)):
        assert os.path.exists(ROOT / path), path
