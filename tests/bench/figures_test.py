"""Figures from seconds and counts, by hand."""

import io

import pytest
from rich.console import Console

from reeval.bench import figures, table
from reeval.bench.costs import Costs
from reeval.bench.limits import Limits
from reeval.models.qwen3 import Qwen3Config

CONFIG = Qwen3Config(
    vocab_size=50, d_model=8, hidden=12, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=6, norm_eps=1e-6,
    tied=True, rope_theta=1e4,
)  # fmt: skip
COSTS, LIMITS = Costs(CONFIG, 4), Limits(bandwidth=1e6, matmul=1e8)
PROMPTS, ANSWERS = [13, 17], [[[1, 1]], [[1], [1]]]
STAGES = {
    "seconds": 4.0, "unstacked_seconds": 0.125,
    "prefix_seconds": 0.5, "prefill_seconds": 0.5, "go_on_seconds": 0.25, "decode_seconds": 2.0,
    "prefix": 10, "prompts": 10, "shared": 2, "second": 6, "padding": 4, "steps": 5, "used": 7, "waits": 2,
}  # fmt: skip


PEER = {"seconds": 2.0, "prefill_seconds": 0.5, "steps": 3, "prefilled": PROMPTS}


def test_the_peer_computes_whole_prompts():
    stages = figures.peer_stages(PEER, COSTS, LIMITS, PROMPTS, ANSWERS)
    computed = COSTS.prefill_operations(13) + COSTS.prefill_operations(17)
    assert stages["prefill"]["share_of_matmul"] == pytest.approx(computed / 0.5 / 1e8)
    assert (stages["decode"]["seconds"], stages["decode"]["tokens_per_second"]) == (1.5, 7 / 1.5)


def test_rates_count_ends_of_answers():
    rates = figures.rates([1.0, 4.0, 2.0], PROMPTS, ANSWERS)
    assert rates["seconds"] == {"median": 2.0, "least": 1.0, "most": 4.0}
    assert rates["pairs_per_second"] == {"median": 1.0, "least": 0.5, "most": 2.0}
    assert (rates["answer_tokens"], rates["answer_tokens_per_second"]) == (7, 3.5)


def test_stages_are_shares_of_the_limits():
    stages = figures.our_stages(STAGES, COSTS, LIMITS, 10, PROMPTS, ANSWERS)
    assert stages["prefill"]["tokens"] == 16  # the last token of each prompt is the decode steps', and two are in both
    own = COSTS.prefill_operations(2, 10, heads=0) + COSTS.prefill_operations(6, 10, heads=0)
    computed = COSTS.prefill_operations(10, heads=0) + own * 6 / 8
    assert stages["prefill"]["share_of_matmul"] == pytest.approx(computed / 1e8)
    read = COSTS.decode_bytes(5, 10, PROMPTS, ANSWERS)
    assert stages["decode"]["share_of_bandwidth"] == pytest.approx(read / 2 / 1e6)
    assert stages["host_seconds"] == pytest.approx(4 - 1 - 0.25 - 2 - 0.125)


def test_answers_are_the_same_if_all_turns_are():
    assert figures.same(ANSWERS, ANSWERS) == {"pairs": 2, "of": 2}
    assert figures.same(ANSWERS, [[[1, 1]], [[1], [2]]]) == {"pairs": 1, "of": 2}
    assert figures.same(ANSWERS, [[[1, 1]], [[1]]]) == {"pairs": 1, "of": 2}


def results() -> dict:
    rates = figures.rates([1.0, 2.0], PROMPTS, ANSWERS)
    return {
        "what": {
            "model": "random tiny", "parameters": 10**6, "dtype": "float32", "mode": "one_pass", "steered": True,
            "slots": 4, "pairs": 2, "prompt_tokens": 30,
        },
        "limits": LIMITS._asdict(),
        "reeval": rates
        | {"device": "cpu", "prefix_tokens": 10, "compile_seconds": 3.0, "compilations": 4, "peak_bytes": 10**9}
        | {"stages": figures.our_stages(STAGES, COSTS, LIMITS, 10, PROMPTS, ANSWERS)},
        "transformers": rates
        | {"batch_size": 8, "tried": {8: 1.0, 16: 2.0}, "peak_bytes": 10**9, "steering_share": 0.02}
        | {"stages": figures.peer_stages(PEER, COSTS, LIMITS, PROMPTS, ANSWERS)},
        "same": {"pairs": 1, "of": 2},
        "ratio": figures.spread([4.0, 5.0, 4.5]),
    }  # fmt: skip


def shown(results: dict) -> str:
    out = io.StringIO()
    table.show(results, Console(file=out, width=100))
    return out.getvalue()


def test_the_ratio_is_printed_with_the_share_of_same_answers():
    lines = shown(results()).splitlines()
    (ratio,) = [line for line in lines if "times transformers" in line]
    assert "4.50 times" in ratio and "1 of 2 pairs (50.0%)" in ratio


def test_one_side_alone_is_shown_without_a_ratio():
    alone = {name: value for name, value in results().items() if name in ("what", "limits", "reeval")}
    text = shown(alone)
    assert "transformers" not in text and "pairs a second" in text
