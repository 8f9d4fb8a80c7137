import pytest
from study_example import kinds, made, signatures

from reeval.study.compare import compare

# As long as an evaluator's name may be, and as many as the paper has.
NAMES = (
    "reeval-qwen3-8b-sft-dpo-step-12000-clinical-2", "gpt-4o-2024-08-06", "llama-3.3-70b-instruct-awq", "ours",
    "medgemma-4b-it", "huatuogpt-o1-72b", "claude-sonnet-4-20250514-thinking", "baichuan-m2-32b",
)  # fmt: skip


@pytest.fixture(scope="session")
def large():
    """The comparison of eight evaluators in both modes and three scalar metrics, and of those with less to say."""
    pairs, judged = made(8, judges=NAMES)
    for seed, name in ((1, "chrf"), (2, "rougeL")):
        judged[name] = made(8, seed=seed)[1]["bleu"]
    of = kinds(judged) | {"chrf": "scalar", "rougeL": "scalar"}
    return compare(pairs, judged, kinds=of, signatures=signatures(judged), resamples=99, permutations=99)
