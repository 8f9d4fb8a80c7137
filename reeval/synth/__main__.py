"""python -m reeval.synth --family b --count 4000 --seed 0 --out pairs.jsonl"""

import argparse

from reeval import pairs
from reeval.synth import templates
from reeval.synth.phrases import FAMILIES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m reeval.synth", description="Labelled pairs from templates.")
    parser.add_argument("--family", choices=FAMILIES, required=True, help="template family")
    parser.add_argument("--count", type=int, required=True, help="number of pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="pair file to write (JSON Lines)")
    args = parser.parse_args()
    if args.count < 1:
        parser.error("--count must be at least 1")
    pairs.write(args.out, templates.pairs(args.family, args.count, args.seed))


if __name__ == "__main__":
    main()
