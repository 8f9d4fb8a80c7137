"""`reeval score`: a table of pairs in, the same table with scores out; killed, it goes on where it was."""

import dataclasses
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from reeval import hosts
from reeval.files import LineLog, write_atomically
from reeval.progress import progress
from reeval.score import table
from reeval.score.scorer import Sample, Scorer, Settings, bounds, content_sha256, mean
from reeval.score.table import Entry

# Rows that come quickly go to the disk together.
_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Files:
    """Where a table's scores lie.

    The log of a share has a row for each pair as soon as it is judged; with several shares each process has its own.
    """

    out: Path
    shares: int

    @property
    def settings(self) -> Path:
        return self.out.with_name(f"{self.out.name}.settings.json")

    def log(self, share: int) -> Path:
        part = f".{share + 1}-of-{self.shares}" if self.shares > 1 else ""
        return self.out.with_name(f"{self.out.name}.log{part}.jsonl")


def run(flags: Mapping[str, Any]) -> None:
    """`score` by the command's flags."""
    try:
        mesh = tuple(int(size) for size in flags["mesh"])
    except ValueError:
        raise ValueError(f"mesh={','.join(flags['mesh'])} must be three whole numbers, such as -1,1,1") from None
    shares, share = flags["shares"], flags["share"]
    if (processes := jax.process_count()) > 1:
        if shares > 1:
            raise ValueError("--shares and --distributed both share out the work; give one of them")
        shares, share = processes, jax.process_index()
    names = {field.name for field in dataclasses.fields(Settings)} - {"mesh"}
    score(
        Settings(**{name: flags[name] for name in names}, mesh=mesh),  # type: ignore[arg-type]  # make_mesh counts them
        flags["pairs"],
        flags["out"],
        columns={part: flags[part] for part in table.ALIASES},
        shares=shares,
        share=share,
        too_long=flags["too_long"],
    )


def score(
    settings: Settings,
    pairs: str | Path,
    out: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    shares: int = 1,
    share: int = 0,
    too_long: str = "refuse",
) -> None:
    """Score the pairs of a table.

    Each pair's row goes to a log beside `out` when it is judged. `out` appears when all pairs of all shares are: the
    input's columns and those of `table`, in the input's order. Pairs that the logs have, with the same texts and
    the same signature, are not judged again.

    Args:
        columns: see `table.read`.
        shares: processes that share the work, each with its own `share` from 0 on, on one file system.
        too_long: "refuse" before any work pairs that no conversation has room for, or "mark" them and go on.
    Raises:
        ValueError: one line, for an input, setting or output that cannot be used.
    """
    if not 0 <= share < shares:
        raise ValueError(f"share={share} must be at least 0 and below shares={shares}")
    files = Files(Path(out), shares)
    table.check_out(files.out)
    entries = table.read(pairs, columns)
    scorer = Scorer(settings, images=any(entry.pair.image is not None for entry in entries))
    if settings.model == "embedded":
        print("the embedded judge shows how scoring works; its verdicts on real reports mean nothing")
    refused = _too_long(scorer, entries, too_long)
    with hosts.first_before_others("the settings"):
        _sign(files, scorer)
    contents = {e.pair.pair_id: content_sha256(e.pair, images=scorer.sees) for e in entries}
    log = LineLog(files.log(share))
    try:
        known = _known(log.rows, contents)
        mine = [entry.pair for entry in entries[share::shares]]
        missing = [pair for pair in mine if pair.pair_id not in known and pair.pair_id not in refused]
        if missing:
            memory = scorer.prepare(max(map(scorer.tokens, missing)))
            print(f"scoring takes {memory.total / 1e9:.2f} GB on each device")
        done = len(mine) - len(missing)
        with (
            progress("score", len(mine), done=done, shown=hosts.first()) as advance,
            hosts.Asked(together=False) as asked,
        ):
            for samples in _groups(scorer.score(missing)) if missing else ():
                log.append([{"sha256": contents[s.pair_id]} | dataclasses.asdict(s) for s in samples])
                done += len(samples)
                advance(done, "")
                if asked.now() and done < len(mine):
                    raise hosts.Stopped(f"{files.log(share)}: stopped after {done} of {len(mine)} pairs, all saved")
    finally:
        log.close()
    hosts.wait("all shares are done", seconds=7 * 24 * 3600)
    if not hosts.first():
        return
    found = dict(refused)
    for number in range(shares):
        found |= _known(_rows(files.log(number)), contents)
    unknown = len(entries) - len(found)
    if unknown:
        print(f"{files.log(share)}: share {share} is done; {unknown} pairs of other shares are not")
        return
    samples = [found[entry.pair.pair_id] for entry in entries]
    write_atomically(files.out, table.render(files.out, entries, samples, scorer.signature))
    _report(files.out, samples, scorer.signature)


def _too_long(scorer: Scorer, entries: list[Entry], rule: str) -> dict[str, Sample]:
    """Samples of the pairs that are too long to be judged. Nothing is ever cut."""
    most = scorer.most_tokens()
    if most is None:
        return {}
    lengths = {entry.pair.pair_id: scorer.tokens(entry.pair) for entry in entries}
    long = {pair_id: n for pair_id, n in lengths.items() if n > most}
    if long and rule == "refuse":
        named = ", ".join(f"{pair_id} ({n})" for pair_id, n in list(long.items())[:5])
        raise ValueError(
            f"{len(long)} pairs have prompts of more than {most} tokens: {named}{', ...' if len(long) > 5 else ''}; "
            "raise --max_prompt_tokens as far as the model allows, leave them out, or say --too_long=mark"
        )
    return {
        pair_id: Sample(pair_id=pair_id, parse_status=f"too long: {n} tokens, at most {most}")
        for pair_id, n in long.items()
    }


def _sign(files: Files, scorer: Scorer) -> None:
    """Record what decides these scores, or make sure that the files beside were made with the same."""
    record = {"signature": scorer.signature, "shares": files.shares}
    path = files.settings
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            differing = sorted(name for name in record if before[name] != record[name])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}: damaged; move it and the files beside it away") from None
        if differing:
            said = f"{before['signature']}, shares {before['shares']}"
            raise ValueError(
                f"{files.out}: was begun with other settings ({said}); give another --out, or move it away"
            )
        return
    if files.out.exists():
        raise ValueError(
            f"{files.out}: exists, and {path.name} does not, which would say how it was made; move it away"
        )
    files.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(record, indent=2) + "\n")


def _known(rows: Iterable[Mapping[str, Any]], contents: Mapping[str, str]) -> dict[str, Sample]:
    """Samples of the rows that belong to pairs as they are now; of two the later counts."""
    fields = [field.name for field in dataclasses.fields(Sample)]
    found = {}
    for row in rows:
        if contents.get(row["pair_id"]) == row["sha256"]:
            values = {name: row[name] for name in fields}
            errors = values["errors"]
            values |= {"raw": tuple(values["raw"]), "errors": None if errors is None else tuple(errors)}
            found[row["pair_id"]] = Sample(**values)
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    """Whole rows of a log that another process may be writing."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def _groups(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    began = time.monotonic()
    for sample in samples:
        group.append(sample)
        if time.monotonic() - began >= _SECONDS:
            yield group
            group, began = [], time.monotonic()
    if group:
        yield group


def _report(out: Path, samples: list[Sample], signature: str) -> None:
    total, failed = len(samples), sum(s.score is None for s in samples)
    average, ends = mean(samples), bounds(samples)
    assert ends is not None
    said = "no pair has a score" if average is None else f"mean score {average:.4f} of {total - failed} pairs"
    if failed:
        said += f"; {failed} without a score, with which the mean lies between {ends[0]:.4f} and {ends[1]:.4f}"
    print(f"{said}\n1: no difference that matters, 0: a clinically significant error\n{signature}\n{os.fspath(out)}")
