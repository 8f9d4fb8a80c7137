"""Working directories in a bucket, which is emulated on this machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from emulated_bucket import emulated_bucket

from reeval.bucket import Bucket, is_url, name_of


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with emulated_bucket() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("gs").clear_instance_cache()
        yield "gs://bucket/runs/one"
    fsspec.get_filesystem_class("gs").clear_instance_cache()


def write(bucket: Bucket, name: str, text: str) -> None:
    (bucket.copy / name).parent.mkdir(parents=True, exist_ok=True)
    (bucket.copy / name).write_text(text)


def in_bucket(url: str) -> dict[str, str]:
    files, root = fsspec.url_to_fs(url)
    files.invalidate_cache()
    return {name.removeprefix(f"{root}/"): files.cat_file(name).decode() for name in files.find(root)}


def test_what_one_process_sends_another_fetches(url: str) -> None:
    one, other = Bucket(url), Bucket(url)
    write(one, "run.json", "{}")
    write(one, "eval/base/one_pass/verdicts.jsonl", "1\n")
    one.send()
    assert not (other.copy / "run.json").exists()
    other.fetch()
    assert (other.copy / "eval/base/one_pass/verdicts.jsonl").read_text() == "1\n"
    write(one, "eval/base/one_pass/verdicts.jsonl", "1\n2\n")
    one.send()
    other.fetch()
    assert (other.copy / "eval/base/one_pass/verdicts.jsonl").read_text() == "1\n2\n"
    assert (Bucket(url).copy / "run.json").read_text() == "{}"


def test_only_what_changed_is_sent_and_half_written_files_are_not(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(url)
    sent: list[str] = []
    put = bucket._files.put_file
    monkeypatch.setattr(bucket._files, "put_file", lambda path, to: sent.append(Path(path).name) or put(path, to))
    write(bucket, "run.json", "{}")
    write(bucket, ".run.json.tmp", "{")
    bucket.send()
    write(bucket, "results.json", "{}")
    bucket.send()
    bucket.send()
    assert sent == ["run.json", "results.json"]
    assert in_bucket(url) == {"run.json": "{}", "results.json": "{}"}


def test_sending_often_is_sending_seldom(url: str) -> None:
    bucket = Bucket(url)
    write(bucket, "run.json", "{}")
    bucket.send(every=3600)
    assert in_bucket(url) == {}
    bucket.send(every=0)
    assert set(in_bucket(url)) == {"run.json"}


def test_checkpoints_and_events_stay_where_they_are(url: str) -> None:
    files, root = fsspec.url_to_fs(url)
    for name in ("checkpoints/3/adapter", "tensorboard/train/events", "profile/trace", "eval/results.json"):
        files.pipe_file(f"{root}/{name}", b"x")
    bucket = Bucket(url)
    assert [str(path.relative_to(bucket.copy)) for path in bucket.copy.rglob("*") if path.is_file()] == [
        "eval/results.json"
    ]


def test_the_copy_is_for_its_owner_alone_and_goes_with_the_process(url: str) -> None:
    bucket = Bucket(url)
    copy = bucket.copy
    assert copy.stat().st_mode & 0o077 == 0
    del bucket
    assert not copy.exists()


def test_what_cannot_be_reached_is_one_line(url: str) -> None:
    problem = r"^gs://no-such-bucket/run: cannot be read \(there is no such bucket\); is the name right, and may this"
    with pytest.raises(OSError, match=problem) as caught:
        Bucket("gs://no-such-bucket/run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "name", "remote"),
    [
        ("gs://bucket/run/", "gs://bucket/run", True),
        (Path("gs://bucket/run"), "gs://bucket/run", True),
        ("runs/one", "runs/one", False),
        (Path("/runs/one"), "/runs/one", False),
    ],
)
def test_names(path: str | Path, name: str, remote: bool) -> None:
    assert (name_of(path), is_url(path)) == (name, remote)


def test_there_is_a_line_for_gcsfs_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> None:
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr("reeval.bucket.fsspec.url_to_fs", missing)
    with pytest.raises(ValueError, match=re.escape("gs://b/run: needs gcsfs; pip install 'reeval[gcs]'")):
        Bucket("gs://b/run")
