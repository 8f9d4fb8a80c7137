"""`reeval bench score / train`: flags to arguments, nothing else."""

from collections.abc import Sequence

from absl import flags

from reeval.command_line import parse

_SHAPES = "qwen3_80m, small_vocabulary_60m, qwen3_0.6b, qwen3_8b or tiny"


def score(argv: Sequence[str]) -> None:
    """Measure scoring: its speed, its share of what the device can do, and transformers' generate beside it."""
    values = _of_benchmarks(pairs="held-out", count=64)
    number = flags.DEFINE_integer
    number("slots", 0, "Pairs that are decoded at a time; 0: as the device likes it.", flag_values=values)
    flags.DEFINE_enum("mode", "one_pass", ["one_pass", "two_pass"], "How to judge.", flag_values=values)
    number("max_answer_tokens", 64, "Of one answer.", flag_values=values)
    flags.DEFINE_bool("grammar", True, "Answers follow the verdict format, on both sides.", flag_values=values)
    flags.DEFINE_list("batch_sizes", [], "That transformers tries, such as 8,16; its best counts.", flag_values=values)
    parse(values, argv, score)
    from reeval.bench.score import Options, run

    run(Options.of(values.flag_values_dict()))


def train(argv: Sequence[str]) -> None:
    """Measure LoRA fine-tuning: its speed, its share of what the device can do, and transformers and PEFT beside it."""
    values = _of_benchmarks(pairs="training", count=300)
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    batchings = ["packed", "shared", "grouped"]
    flags.DEFINE_enum("batching", "shared", batchings, "As config.data.batching.", flag_values=values)
    text("attention", "auto", "As config.train.attention.", flag_values=values)
    text("remat", "none", "As config.train.remat.", flag_values=values)
    number("batch_size", 1, "Rows of a step.", flag_values=values)
    number("length", 4096, "Tokens of a row.", flag_values=values)
    number("rank", 16, "Of the adapters.", flag_values=values)
    number("steps", 4, "Of a repetition.", flag_values=values)
    sizes = ["2", "4", "8"]
    flags.DEFINE_list("micro_batches", sizes, "That transformers tries; its best counts.", flag_values=values)
    parse(values, argv, train)
    from reeval.bench.train import Options, run

    run(Options.of(values.flag_values_dict()))


def _of_benchmarks(*, pairs: str, count: int) -> flags.FlagValues:
    """The flags of both benchmarks."""
    values = flags.FlagValues()
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("model", "random", "A checkpoint directory, embedded, or random.", flag_values=values)
    text("shape", "qwen3_80m", f"Of random weights: {_SHAPES}.", flag_values=values)
    text("tokenizer", "", "Of random weights: a directory; by default the embedded judge's.", flag_values=values)
    text("pairs", "", f"A pair file; by default the {pairs} pairs that are shipped.", flag_values=values)
    number("count", count, "Pairs to take at most.", flag_values=values)
    text("prompt", "clinical-2", "The version of the prompt.", flag_values=values)
    dtypes = ["auto", "float32", "bfloat16"]
    flags.DEFINE_enum("dtype", "auto", dtypes, "Of the weights; auto: float32 on a CPU.", flag_values=values)
    flags.DEFINE_enum("against", "transformers", ["transformers", "none"], "The other side.", flag_values=values)
    number("repetitions", 3, "Of which the median counts.", flag_values=values)
    text("json", "", "A file for all figures.", flag_values=values)
    return values
