"""From seconds and counts to the figures of a benchmark: rates, shares of the limits, and the ratio of two sides."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from reeval.bench.costs import Costs
from reeval.bench.limits import Limits
from reeval.bench.task import Answers

Figures = dict[str, Any]


def spread(values: Sequence[float]) -> Figures:
    """Median, least and most of repetitions."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def rates(seconds: Sequence[float], prompts: Sequence[int], answers: Answers) -> Figures:
    """Of a side's repetitions of all pairs; tokens are those of answers, their ends too."""
    tokens = _tokens(answers)
    return {
        "seconds": spread(seconds),
        "pairs_per_second": spread([len(prompts) / s for s in seconds]),
        "answer_tokens": tokens,
        "answer_tokens_per_second": tokens / median(seconds),
    }


def our_stages(
    stages: Mapping[str, float], costs: Costs, limits: Limits, prefix: int, prompts: Sequence[int], answers: Answers
) -> Figures:
    """Where the time of one run went, and how near to the limits its stages came.

    Args:
        stages: of `ours.Ours.stages`.
        prompts: tokens of each prompt, prefix included.
    """
    prefill, decode = stages["prefix_seconds"] + stages["prefill_seconds"], stages["decode_seconds"]
    # The last token of a prompt goes through a decode step.
    own = stages["prompts"] - len(prompts)
    whole = sum(costs.prefill_operations(prompt - prefix - 1, prefix, heads=0) for prompt in prompts)
    computed = costs.prefill_operations(prefix, heads=0) + whole * (1 - stages["shared"] / max(1, own))
    new = prefix + own - stages["shared"]
    read = costs.decode_bytes(int(stages["steps"]), prefix, prompts, answers)
    return {
        "seconds": stages["seconds"],
        "unstacking_seconds": stages["unstacked_seconds"],
        "prefill": {
            "seconds": prefill,
            "tokens": new,
            "tokens_per_second": new / prefill,
            "padding": stages["padding"],
            "share_of_matmul": computed / prefill / limits.matmul,
        },
        "second_turns": {"seconds": stages["go_on_seconds"], "tokens": stages["second"]},
        "decode": {
            "seconds": decode,
            "tokens": stages["used"],
            "tokens_per_second": stages["used"] / decode,
            "steps": stages["steps"],
            "waits": stages["waits"],
            "share_of_bandwidth": read / decode / limits.bandwidth,
            "share_of_matmul": costs.decode_operations(prompts, answers) / decode / limits.matmul,
        },
        "host_seconds": stages["seconds"] - prefill - decode - stages["go_on_seconds"] - stages["unstacked_seconds"],
    }


def peer_stages(
    stages: Mapping[str, Any], costs: Costs, limits: Limits, prompts: Sequence[int], answers: Answers
) -> Figures:
    """The same of the peer, which computes each prompt whole; `stages` are those of `peer.Peer.stages`."""
    prefill, tokens = stages["prefill_seconds"], _tokens(answers)
    decode = stages["seconds"] - prefill
    computed = sum(costs.prefill_operations(prompt) for prompt in stages["prefilled"])
    return {
        "seconds": stages["seconds"],
        "prefill": {
            "seconds": prefill,
            "tokens": sum(stages["prefilled"]),
            "tokens_per_second": sum(stages["prefilled"]) / prefill,
            "share_of_matmul": computed / prefill / limits.matmul,
        },
        "decode": {
            "seconds": decode,
            "tokens": tokens,
            "tokens_per_second": tokens / decode,
            "steps": stages["steps"],
            "share_of_matmul": costs.decode_operations(prompts, answers) / decode / limits.matmul,
        },
    }


def same(ours: Answers, theirs: Answers) -> Figures:
    """How many pairs have the same answer on both sides, token for token, in all turns."""
    return {"pairs": sum(a == b for a, b in zip(ours, theirs, strict=True)), "of": len(ours)}


def _tokens(answers: Answers) -> int:
    return sum(len(turn) + 1 for turns in answers for turn in turns)
