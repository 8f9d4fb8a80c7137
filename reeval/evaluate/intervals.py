"""D and R in both modes while a run trains, at intervals of its steps, to TensorBoard."""

from collections.abc import Callable
from typing import Any

from flax import nnx
from jax.sharding import Mesh

from reeval import hf, hosts, pairs
from reeval.data.conversation import Conversation
from reeval.evaluate import report, writers
from reeval.evaluate.judge import Judge
from reeval.lora import Parts
from reeval.prompts import MODES
from reeval.run import Run, base_directory


def judging(
    run: Run, mesh: Mesh, conversation: Conversation, parts: Parts, trained: dict[str, Any], base: nnx.State
) -> Callable[[int, dict[str, Any], hosts.Asked], bool]:
    """A function of a step and the weights that are trained by then, which judges the config's evaluation pairs.

    It judges where training runs, its engine stays compiled, and its verdicts are not kept: `reeval eval` is for those.
    When it is asked to stop it breaks off, and says so.

    Args:
        trained: weights, or their shapes.
    Raises:
        ValueError: for pairs that cannot be judged.
    """
    c = run.config.eval
    benchmark = pairs.read(c.pairs, graded=True)
    graph, _ = nnx.split(parts.assemble(trained, base))
    judge = Judge(
        graph,
        conversation,
        mesh,
        slots=c.slots,
        max_prompt_tokens=c.max_prompt_tokens,
        max_answer_tokens=c.max_answer_tokens,
        grammar=c.grammar,
        max_positions=hf.max_positions(base_directory(run.config)),
    )
    # What is too long is said now, not after the first steps.
    for mode in MODES:
        judge.prompts(benchmark, mode)

    def look(step: int, trained: dict[str, Any], asked: hosts.Asked) -> bool:
        weights = nnx.state(parts.assemble(trained, base))
        summaries = {}
        for mode in MODES:
            rows = []
            for row in judge.judge(weights, benchmark, mode):
                rows.append(row)
                if asked.now():
                    return True
            summaries[mode] = report.summarise(rows, benchmark)
        if hosts.first():
            writers.write_tensorboard(run.tensorboard / "eval_tuned", "tuned", summaries, step)
        return False

    return look
