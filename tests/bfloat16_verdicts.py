"""How many verdicts of the embedded judge change between float32 and bfloat16, on the shipped held-out pairs.

    JAX_PLATFORMS=cpu PYTHONPATH=. python tests/bfloat16_verdicts.py [PAIRS]

A pair's verdict changes where one of the two calls it significant and the other does not; an answer where it is not
the same text.
"""

import sys
from importlib import resources
from typing import Any

from flax import nnx

from reeval import embedded, hf, pairs, sharding
from reeval.data.conversation import Conversation
from reeval.evaluate.judge import Judge
from reeval.pairs import Pair
from reeval.prompts import MODES


def judged(dtype: str, given: list[Pair], mode: str) -> dict[str, dict[str, Any]]:
    mesh = sharding.single_device_mesh()
    graph, weights = nnx.split(hf.load_model(embedded.DIRECTORY, dtype=dtype, mesh=mesh))
    conversation = Conversation(hf.load_tokenizer(embedded.DIRECTORY), "compact-1")
    judge = Judge(graph, conversation, mesh, slots=64, max_prompt_tokens=960, max_answer_tokens=160)
    return {row["pair_id"]: row for row in judge.judge(weights, given, mode)}


def main(count: int | None = None) -> None:
    given = pairs.read(str(resources.files("reeval") / "shipped" / "heldout.jsonl.gz"))[:count]
    for mode in MODES:
        exact, rounded = (judged(dtype, given, mode) for dtype in ("float32", "bfloat16"))
        changed = sum(exact[name]["significant"] != row["significant"] for name, row in rounded.items())
        answers = sum(exact[name]["raw"] != row["raw"] for name, row in rounded.items())
        n = len(given)
        print(f"{mode}: {changed} of {n} verdicts change ({100 * changed / n:.1f} %), {answers} answers", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
