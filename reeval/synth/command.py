"""What `reeval synth` does with its flags: rule-made pairs, and with --writer=llm the same in a model's words."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reeval.synth.compose import Mixture
from reeval.synth.reports import ALIASES
from reeval.synth.run import Options, synthesise


def run(flags: Mapping[str, Any]) -> None:
    """Make the pairs and say on standard error what came of it."""
    if not 0 <= flags["varied"] <= 1:
        raise ValueError(f"--varied={flags['varied']}: must be a share from 0 to 1")
    out = Path(flags["out"])
    llm = flags["writer"] == "llm"
    if llm and not flags["model"]:
        raise ValueError("--writer=llm needs --model=NAME, as the server calls it")
    options = Options(
        reports=flags["reports"],
        # The rule-made pairs are what the model is asked for.
        out=str(out.with_name(out.name + ".rules") if llm else out),
        count=flags["count"],
        seed=flags["seed"],
        columns={role: flags[role] for role in ALIASES if flags[role]},
        levels=flags["levels"],
        mixture=Mixture(significant=flags["significant"], unvaried=1.0 - flags["varied"]),
    )
    if not llm:
        _say(out, synthesise(options))
        return
    from reeval.synth.llm.run import rewrite_file
    from reeval.synth.llm.writer import LlmOptions

    llm_options = LlmOptions(
        base_url=flags["base_url"],
        model=flags["model"],
        allow_remote=flags["allow_remote"],
        key_variable=flags["key_variable"],
        seed=flags["seed"],
    )
    synthesise(options)
    _say(out, rewrite_file(Path(options.out), out, llm_options))


def _say(out: Path, summary: Mapping[str, Any]) -> None:
    print(f"{out}: {summary['pairs']} pairs", file=sys.stderr)
    for name in ("reports left out", "dropped"):
        if summary.get(name):
            print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in summary[name].items()), file=sys.stderr)
    print(f"What is in them: reeval pairs check {out} --classifiers", file=sys.stderr)
