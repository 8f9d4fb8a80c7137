"""Runs a config: python -m reeval.from_scratch --config=configs/embedded_judge.py --out=DIR"""

import argparse
import runpy
from pathlib import Path


def main() -> None:
    # Not above: the processes that make data import this file too, and have no use for JAX.
    from reeval.from_scratch.loop import read_options, train

    parser = argparse.ArgumentParser(prog="python -m reeval.from_scratch", description=__doc__)
    parser.add_argument("--config", required=True, help="file whose get_config() gives the options")
    parser.add_argument("--out", type=Path, required=True, help="Hugging Face directory to write")
    parser.add_argument("--steps", type=int, help="instead of the config's")
    parser.add_argument("--minutes", type=float, help="the longest that it may train, instead of the config's")
    parser.add_argument("--rows", type=int, help="rows of a batch, instead of the config's")
    parser.add_argument("--workers", type=int, help="processes that make data, instead of the config's")
    parser.add_argument("--evaluations", type=int, help="how often it is evaluated, instead of the config's")
    parser.add_argument("--start", type=Path, help="go on from the weights that an interrupted run left here")
    parser.add_argument("--start-step", type=int, default=0, help="the step after which it left them")
    args = parser.parse_args()
    config = runpy.run_path(args.config)["get_config"]()
    for section, names in (("train", ("steps", "minutes", "workers", "evaluations")), ("data", ("rows",))):
        for name in names:
            if getattr(args, name) is not None:
                config[section][name] = getattr(args, name)
    train(read_options(config), args.out, start=args.start, start_step=args.start_step)


if __name__ == "__main__":
    main()
