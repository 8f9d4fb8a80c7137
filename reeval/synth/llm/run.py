"""A file of rule-made pairs to a file of the same pairs in a chat model's words; continues after a kill.

Pairs go to OUT.part in their order, the ids of dropped ones to OUT.dropped: together they say how far a run is.
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from reeval import pairs
from reeval.files import LineLog, write_atomically
from reeval.progress import progress
from reeval.synth import reports
from reeval.synth.facts import facts
from reeval.synth.llm.writer import Dropped, LlmOptions, rewrite
from reeval.synth.run import read_about


def rewrite_file(rule_made: Path, out: Path, options: LlmOptions) -> dict[str, Any]:
    """Let a chat server write the candidates of a pair file again; gives the summary that OUT.synth.json holds.

    Raises:
        ValueError: bad options, or files of another run at OUT.
        ConnectionError: if the server cannot go on; the same call goes on later.
    """
    part, about = out.with_name(out.name + ".part"), out.with_name(out.name + ".synth.json")
    asked = dataclasses.asdict(options)
    # How patient one is with a server does not change what it writes.
    made_from = {name: asked[name] for name in ("model", "temperature", "max_tokens", "attempts", "seed")}
    made_from["rules"] = reports.signature(rule_made)
    known = read_about(about)
    if (out.exists() or part.exists()) and known.get("made_from") != made_from:
        which = out if out.exists() else part
        raise ValueError(f"{which}: exists, from other pairs or options; remove it or give another --out")
    if out.exists():
        return dict(known["summary"])
    write_atomically(about, json.dumps({"made_from": made_from}, indent=2) + "\n")
    lost = out.with_name(out.name + ".dropped")
    with closing(LineLog(part)) as written, closing(LineLog(lost)) as dropped:
        summary = _rewrite(rule_made, written, dropped, options)
        if not summary["pairs"]:
            why = ", ".join(f"{n} {reason}" for reason, n in summary["dropped"].items())
            raise ValueError(f"{out}: no pair came through the checks ({why}); is the model able to follow them?")
        write_atomically(about, json.dumps({"made_from": made_from, "summary": summary}, indent=2) + "\n")
        os.replace(part, out)
    lost.unlink()
    return summary


def _rewrite(rule_made: Path, written: LineLog, dropped: LineLog, options: LlmOptions) -> dict[str, Any]:
    why = Counter(row["reason"] for row in dropped.rows)
    done = len(written.rows) + len(dropped.rows)
    total = sum(1 for _ in _pairs(rule_made))
    with progress("pairs written by the model", total, done=done) as advance:
        for result in rewrite(islice(_pairs(rule_made), done, None), options, facts=facts):
            if isinstance(result, Dropped):
                why[result.reason] += 1
                dropped.append([{"pair_id": result.pair_id, "reason": result.reason}])
            else:
                written.append([pairs.to_json(result)])
            done += 1
            advance(done, f"{why.total()} dropped")
    return {"pairs": len(written.rows), "dropped": dict(sorted(why.items()))}


def _pairs(path: Path) -> Iterator[pairs.Pair]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield pairs.from_json(json.loads(line), path.parent)
