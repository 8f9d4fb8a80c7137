"""The commands of `reeval`: flags to arguments, nothing else."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from reeval import cli_bench, cli_study, watch
from reeval.command_line import Help, asks_for_help, joined, parse, with_config

USAGE = """reeval: judges of generated radiology reports.

  reeval train   --config=FILE --workdir=DIR [--config.FIELD=VALUE ...]   fine-tune a judge; resumes
  reeval eval    --config=FILE --workdir=DIR [--config.FIELD=VALUE ...]   D and R, both modes; resumes
  reeval export  --workdir=DIR --out=DIR [--format=merged|adapter]        a Hugging Face or PEFT directory
  reeval plan    --config=FILE --topology=v5e:2x4 [--search]              memory and time on chips not at hand
  reeval synth   --reports=FILE|FOLDER --out=FILE [--count=4000] [--seed=0]    labelled pairs from reports; resumes
  reeval pairs check FILE [--against=BENCHMARK] [--classifiers] [--json]  is it valid, what is in it, does it leak
  reeval pairs convert --format=NAME --input=FILE[,FILE] --out=FILE       ReXVal, RadEvalX or a mapped table to pairs
  reeval prefs   --workdir=DIR --out=FILE [--samples=4]                   what gold verdicts are better than; resumes
  reeval score   --model=DIR --pairs=FILE --out=FILE [--mode=two_pass]    a score and a verdict a pair; resumes
  reeval compare --config=FILE --workdir=DIR [--config.FIELD=VALUE ...]   evaluators on the same pairs; resumes
  reeval report  --workdir=DIR --out=FILE [--with-text]                   one HTML page of a comparison
  reeval selfcheck [--model=DIR]                                          does it score here as where it was made
  reeval bench score [--model=DIR] [--against=transformers|none]          how fast scoring is here, and beside others
  reeval bench train [--model=DIR] [--against=transformers|none]          the same of fine-tuning

`reeval COMMAND --help` lists a command's flags; --debug shows the traceback of an error.
train, eval, export and score take --distributed on each of several hosts (--distributed=HOST:PORT,COUNT,INDEX where
jax does not find that out by itself). Exit codes: 0 done, 2 a mistake of yours, 75 stopped and saved (the same command
goes on), 1 the rest."""


def train(argv: Sequence[str]) -> None:
    """Fine-tune a judge, or train a small one from scratch."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The directory of the run.", required=True, flag_values=values)
    with_config(argv, train, values)
    if values.config.get("tuning") == "from_scratch":
        from reeval.from_scratch.loop import train as from_scratch

        from_scratch(values.config, values.workdir)
        return
    from reeval.evaluate.intervals import judging
    from reeval.train.loop import train as run

    run(values.config, values.workdir, judging=judging)


def evaluate(argv: Sequence[str]) -> None:
    """Judge the benchmark pairs with the base and the fine-tuned judge."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The directory of the run.", required=True, flag_values=values)
    with_config(argv, evaluate, values)
    from reeval.evaluate.evaluation import evaluate as run

    run(values.config, values.workdir)


def export(argv: Sequence[str]) -> None:
    """Write the fine-tuned judge as a checkpoint for transformers, or as an adapter for PEFT."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "The run to export.", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "The directory to write; must be new or empty.", required=True, flag_values=values)
    flags.DEFINE_enum("format", "merged", ["merged", "adapter"], "What to write.", flag_values=values)
    parse(values, argv, export)
    from reeval.export import export as run

    run(values.workdir, values.out, values.format)


def prefs(argv: Sequence[str]) -> None:
    """Make preferences for training after a run: of its pairs, verdicts that the gold ones are better than."""
    values = flags.FlagValues()
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("workdir", None, "The run whose judge is sampled.", required=True, flag_values=values)
    text("out", None, "The preference file to write.", required=True, flag_values=values)
    text("pairs", "", "A labelled pair file; by default what the run learned from.", flag_values=values)
    number("per_pair", 2, "Preferences of each pair.", lower_bound=1, flag_values=values)
    mixture = ["severity:0.35", "invented:0.15", "dropped:0.15", "sampled:0.35"]
    flags.DEFINE_list("mixture", mixture, "Kinds and their shares.", flag_values=values)
    flags.DEFINE_float("two_pass_share", 0.5, "Of two-pass conversations.", flag_values=values)
    flags.DEFINE_float("significant", None, "Share of significant pairs; by default as it comes.", flag_values=values)
    number("samples", 4, "Verdicts that the judge draws of each pair in each mode.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("temperature", 1.0, "At which it draws them.", flag_values=values)
    number("seed", 0, "Another seed makes others.", lower_bound=0, flag_values=values)
    number("slots", 0, "Pairs that are judged at a time; 0: as the run's config.", flag_values=values)
    parse(values, argv, prefs)
    from reeval.prefs.command import run

    run(values.flag_values_dict())


def score(argv: Sequence[str]) -> None:
    """Score pairs of reports: 1, no difference that matters; 0, a clinically significant error."""
    values = flags.FlagValues()
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("model", None, "A checkpoint directory, or embedded.", required=True, flag_values=values)
    text("adapter", None, "A PEFT directory to lay over it.", flag_values=values)
    text("pairs", None, "CSV, TSV or JSON Lines.", required=True, flag_values=values)
    text("out", None, "The table to write, .jsonl or .csv.", required=True, flag_values=values)
    for column in ("reference", "candidate", "id", "image"):
        text(column, "", f"Column of the {column}; usual names are known.", flag_values=values)
    flags.DEFINE_enum("mode", "one_pass", ["one_pass", "two_pass"], "How to judge.", flag_values=values)
    text("prompt", None, "The prompt's version; an exported judge knows its own.", flag_values=values)
    flags.DEFINE_enum(
        "dtype", None, ["float32", "bfloat16"], "Of the weights; by default as stored.", flag_values=values
    )
    flags.DEFINE_list("mesh", ["-1", "1", "1"], "Devices: data,fsdp,tensor.", flag_values=values)
    number("slots", 32, "Pairs that are judged at a time.", lower_bound=1, flag_values=values)
    number("max_prompt_tokens", None, "By default as many as the longest pair has.", flag_values=values)
    number("max_answer_tokens", 256, "Of one answer.", flag_values=values)
    flags.DEFINE_bool("grammar", True, "Answers follow the verdict format.", flag_values=values)
    flags.DEFINE_float("temperature", 0.0, "Of sampling.", flag_values=values)
    number("seed", 0, "Of sampling.", flag_values=values)
    number("shares", 1, "Processes that share the work.", flag_values=values)
    number("share", 0, "Which of them this is, from 0.", flag_values=values)
    flags.DEFINE_enum("too_long", "refuse", ["refuse", "mark"], "Pairs that do not fit.", flag_values=values)
    parse(values, argv, score)
    from reeval.score.command import run

    run(values.flag_values_dict())


def plan(argv: Sequence[str]) -> None:
    """Compile a config's training step and scoring loop for chips that are not at hand, and say what they need."""
    values = flags.FlagValues()
    topologies = "Of a slice, such as v5e:2x4, or of a machine with GPUs, such as h100:8."
    flags.DEFINE_string("topology", None, topologies, required=True, flag_values=values)
    flags.DEFINE_integer("slices", 1, "So many of them.", flag_values=values)
    flags.DEFINE_enum("what", "both", ["train", "score", "both"], "Which programs.", flag_values=values)
    flags.DEFINE_bool("search", False, "Find the largest batch and the cheapest remat, too.", flag_values=values)
    flags.DEFINE_string("json", None, "A file for all figures.", flag_values=values)
    with_config(argv, plan, values)
    import jax

    from reeval.plan import plan as run

    # What is at hand may be busy, or of no use to jax; nothing runs on it.
    jax.config.update("jax_platforms", "cpu")

    run(
        values.config,
        values.topology,
        what=values.what,
        slices=values.slices,
        search=values.search,
        json_file=values.json,
    )


def synth(argv: Sequence[str]) -> None:
    """Make labelled pairs of free-text chest X-ray reports, by rules or in a local chat model's words."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "reports", None, "CSV, TSV, JSON Lines or a folder of .txt files.", required=True, flag_values=values
    )
    flags.DEFINE_string("out", None, "The pair file to write.", required=True, flag_values=values)
    flags.DEFINE_integer("count", 4000, "Pairs in all.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Another seed makes other pairs.", flag_values=values)
    for column in COLUMNS:
        flags.DEFINE_string(column, "", f"Column of the {column}; usual names are known.", flag_values=values)
    flags.DEFINE_float("significant", 0.5, "Share of significant pairs.", flag_values=values)
    flags.DEFINE_float("varied", 0.88, "Share of pairs with harmless variation beside errors.", flag_values=values)
    flags.DEFINE_integer(
        "levels", 0, "Instead of mixtures: candidates with 1 to so many significant errors.", flag_values=values
    )
    flags.DEFINE_enum("writer", "rules", ["rules", "llm"], "Who words the candidates.", flag_values=values)
    flags.DEFINE_string("base_url", "http://localhost:8000/v1", "OpenAI-compatible server.", flag_values=values)
    flags.DEFINE_string("model", "", "Its model's name.", flag_values=values)
    flags.DEFINE_string("key_variable", "OPENAI_API_KEY", "Environment variable with its key.", flag_values=values)
    flags.DEFINE_bool("allow_remote", False, "Send reports to another machine.", flag_values=values)
    parse(values, argv, synth)
    from reeval.synth.command import run

    run(values.flag_values_dict())


def pairs(argv: Sequence[str]) -> None:
    """Pair files: `reeval pairs check` looks at one, `reeval pairs convert` makes one of another's data."""
    _one_of(PAIRS, argv, pairs)


def bench(argv: Sequence[str]) -> None:
    """Benchmarks: `reeval bench score` measures scoring, `reeval bench train` training."""
    _one_of(BENCH, argv, bench)


def _one_of(commands: Mapping[str, Callable[[Sequence[str]], None]], argv: Sequence[str], group: Any) -> None:
    if not argv or argv[0] not in commands:
        if asks_for_help(argv):
            raise Help(f"{group.__doc__} Each has its own --help.")
        raise ValueError(f"say what to do: reeval {group.__name__} {' | '.join(commands)}")
    commands[argv[0]](argv[1:])


def check(argv: Sequence[str]) -> None:
    """Validate a pair file and say what it holds: reeval pairs check FILE"""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "against", None, "A benchmark's pair file; reports what FILE shares with it.", flag_values=values
    )
    flags.DEFINE_bool("classifiers", False, "Can trivial classifiers tell the labels?", flag_values=values)
    flags.DEFINE_bool("strict", False, "Overlap with --against is an error, too.", flag_values=values)
    flags.DEFINE_bool("json", False, "Print one JSON object.", flag_values=values)
    files = parse(values, argv, check, positional=1)
    if not files:
        raise ValueError("say which file to check: reeval pairs check FILE")
    from reeval.benchmarks.check import check as run

    run(
        files[0],
        against=values.against,
        classifiers=values.classifiers,
        strict=values.strict,
        as_json=values.json,
    )


def convert(argv: Sequence[str]) -> None:
    """Make a pair file of a benchmark's published files, or of any table by a mapping."""
    values = flags.FlagValues()
    formats = ["rexval", "radevalx", "mapping"]
    flags.DEFINE_enum("format", None, formats, "What the input is.", required=True, flag_values=values)
    flags.DEFINE_list("input", None, "The file or files, in any order.", required=True, flag_values=values)
    flags.DEFINE_string("out", None, "The pair file to write.", required=True, flag_values=values)
    flags.DEFINE_string("mapping", None, "With --format=mapping: a mapping file, or reevalmed.", flag_values=values)
    rules = ["majority", "any", "mean"]
    flags.DEFINE_enum(
        "rule",
        "majority",
        rules,
        "With raters' counts or labels, a pair is significant when most of its raters find a significant error "
        "(majority), when one does (any), or when they count one or more in the mean (mean).",
        flag_values=values,
    )
    parse(values, argv, convert)
    from reeval.benchmarks.convert import convert as run

    run(values.format, values.input, values.out, mapping=values.mapping, rule=values.rule)


# Of a file of reports.
COLUMNS = ("report", "findings", "impression", "id")
PAIRS: dict[str, Callable[[Sequence[str]], None]] = {"check": check, "convert": convert}
BENCH: dict[str, Callable[[Sequence[str]], None]] = {"score": cli_bench.score, "train": cli_bench.train}
COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train,
    "eval": evaluate,
    "export": export,
    "prefs": prefs,
    "score": score,
    "plan": plan,
    "synth": synth,
    "compare": cli_study.compare,
    "pairs": pairs,
    "bench": bench,
    "report": cli_study.report,
    "selfcheck": cli_study.selfcheck,
}
# Those that several processes may run together, with --distributed.
SEVERAL = ("train", "eval", "export", "score")

_WRONG_PATHS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code: 0, 2 for a user's mistake (one line on standard error), 1 for the rest."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    several = [argument for argument in arguments if argument.partition("=")[0] == "--distributed"]
    arguments = [argument for argument in arguments if argument != "--debug" and argument not in several]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        if arguments:
            return 0
        print("reeval: say which command to run", file=sys.stderr)
        return 2
    name, *rest = joined(arguments)
    try:
        if name not in COMMANDS:
            raise ValueError(f"no command {name!r}; there are {', '.join(COMMANDS)} (see `reeval --help`)")
        if several and not asks_for_help(rest):
            _join(name, several[-1], watched=argv is None)
        COMMANDS[name](rest)
    except Help as help_text:
        print(help_text)
    except KeyboardInterrupt:
        print("reeval: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        print(f"reeval: {_one_line(error)}", file=sys.stderr, flush=True)
        if several and isinstance(error, RuntimeError):
            watch.leave()
        return getattr(error, "exit_code", 2 if isinstance(error, (ValueError, *_WRONG_PATHS)) else 1)
    return 0


def _join(name: str, flag: str, *, watched: bool) -> None:
    if name not in SEVERAL:
        raise ValueError(f"--distributed: {name} takes one process; only {', '.join(SEVERAL)} take several")
    if watched:
        watch.over()
    from reeval.hosts import join

    # Each process scores its own share at its own pace; elsewhere all take the same steps.
    join(flag.partition("=")[2], together=name != "score")


def _one_line(error: Exception) -> str:
    if hasattr(error, "exit_code"):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ValueError | OSError | FloatingPointError):
        return " ".join(str(error).split())
    # A mistake of ours or the device's. Only the latter's words are sure to quote no report.
    said = f": {' '.join(str(error).split())}" if isinstance(error, RuntimeError) else ""
    return f"unexpected {type(error).__name__}{said}; the same command with --debug says where"


if __name__ == "__main__":
    sys.exit(main())
