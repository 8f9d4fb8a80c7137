"""Evaluators compared on the shipped held-out pairs: the embedded judge in both modes, and scalar metrics beside it.

Copy it for a study of your own: name your pairs and your evaluators. `docs/study.md` shows each kind of evaluator.

Command:  reeval compare --config=configs/study.py --workdir=runs/study
Hardware: any CPU; nothing is downloaded; measured on two cores (jax 0.10.2, Python 3.11)
Memory:   not measured
Duration: 2 minutes on cores that had other work too
Expected: (D+R)/2 of the embedded judge 53.2 in one pass and 53.4 in two, which flags nearly everything before it is
          fine-tuned (D 99.1); of bleu 53.3, chrf 57.2, rougeL 53.9; n 316 + 324
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            # A pair file: with errors or labels for D and R, levels for rankings, ratings for agreement with people.
            "pairs": "reeval/shipped/heldout.jsonl.gz",
            # Where endpoints' answers are kept for any run; empty for a directory in --workdir.
            "cache": "",
            "seed": 0,
            # Of the bootstrap and of the permutation tests.
            "resamples": 2000,
            "permutations": 10000,
            "confidence": 0.95,
            "evaluators": {
                "embedded": {
                    "kind": "judge",
                    # A directory as `reeval export` writes it, or embedded.
                    "model": "embedded",
                    "adapter": "",
                    "modes": ("one_pass", "two_pass"),
                    "slots": 64,
                    "max_answer_tokens": 160,
                },
                "bleu": {"kind": "scalar", "metric": "bleu"},
                "chrf": {"kind": "scalar", "metric": "chrf"},
                "rougeL": {"kind": "scalar", "metric": "rougeL"},
            },
        },
        allow_dotted_keys=True,  # as in the names of many models
    )
