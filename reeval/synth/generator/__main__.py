"""python -m reeval.synth.generator --split=train --count=2000 --seed=0 --out=reports.jsonl [--sentences=2-4]"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NoReturn

from reeval.pairs import private
from reeval.progress import progress
from reeval.synth.generator import SPLITS, reports

_STEP = 1000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")  # one line, without the usage


def main() -> int:
    parser = _Parser(prog="reeval.synth.generator", description=__doc__)
    parser.add_argument("--split", required=True, metavar="|".join(SPLITS))
    parser.add_argument("--count", type=int, required=True, help="number of reports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="JSON Lines file to write: study_id, report")
    parser.add_argument("--sentences", metavar="LOW-HIGH", help="limits of a report's length, as 2-4")
    args = parser.parse_args()
    try:
        made = reports(args.split, args.count, args.seed, sentences=_limits(args.sentences))
        with (
            open(args.out, "w", encoding="utf-8", opener=private) as out,
            progress("reports", args.count) as advance,
        ):
            for number, report in enumerate(made, start=1):
                out.write(
                    json.dumps({"study_id": report.reference_id, "report": report.text}, ensure_ascii=False) + "\n"
                )
                if number % _STEP == 0 or number == args.count:
                    advance(number, "")
    except (ValueError, OSError) as error:
        print(f"reeval.synth.generator: {error}", file=sys.stderr)
        return 2
    return 0


def _limits(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,3})-(\d{1,3})", text)
    if match is None:
        raise ValueError(f"--sentences={text}: write the fewest and the most sentences, as 2-4")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    raise SystemExit(main())
