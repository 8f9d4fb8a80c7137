"""`reeval prefs`: from a run's labelled pairs to a file of preferences, with its provenance beside it."""

import dataclasses
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from reeval import hf, lora, pairs, preferences, prompts, settings, sharding
from reeval.evaluate.judge import Judge
from reeval.files import write_atomically
from reeval.pairs import Pair
from reeval.preferences import KINDS, Preference
from reeval.prefs import wrong as wrongs
from reeval.prefs.samples import Sample, draw, wrong
from reeval.run import (
    Run,
    add_adapters,
    base_directory,
    file_sha256,
    load_base,
    recorded_config,
    sees_images,
    trained_weights,
    versions,
)
from reeval.train.checkpoint import Checkpoints
from reeval.verdicts import Verdict

# In OUT.settings.json what is a result, and decides nothing.
_CAME_OF_IT = "came_of_it"


@dataclasses.dataclass(frozen=True)
class Options:
    """
    workdir: of the run whose judge is sampled.
    pairs: a labelled pair file; empty for what the run learned from.
    per_pair: preferences of each pair.
    mixture: kind -> its share. What a pair does not carry other kinds give; a wrong sample where there is none, nobody.
    significant: share of preferences of significant pairs, others being left out by chance; None for what there is.
        The more, the more the judge will flag.
    samples: verdicts that the judge draws of each pair in each mode.
    """

    workdir: str
    out: str
    pairs: str
    per_pair: int
    mixture: Mapping[str, float]
    two_pass_share: float
    significant: float | None
    samples: int
    temperature: float
    seed: int
    slots: int


def run(flags: Mapping[str, Any]) -> None:
    """Make the preferences and say on standard error what came of it. Raises ValueError."""
    if not 0 <= flags["two_pass_share"] <= 1:
        raise ValueError(f"--two_pass_share={flags['two_pass_share']}: must be a share from 0 to 1")
    if flags["significant"] is not None and not 0 < flags["significant"] < 1:
        raise ValueError(f"--significant={flags['significant']}: must be a share above 0 and below 1")
    if not 0 <= flags["temperature"] < float("inf"):
        raise ValueError(f"--temperature={flags['temperature']}: must be a number of at least 0")
    names = [field.name for field in dataclasses.fields(Options)]
    options = Options(**{name: flags[name] for name in names if name != "mixture"}, mixture=_mixture(flags["mixture"]))
    counts = prefer(options)
    print(f"{options.out}: {sum(counts.values())} preferences", file=sys.stderr)
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())), file=sys.stderr)


def prefer(options: Options) -> Counter[str]:
    """Make a file of preferences, or the rest of it; gives how many there are of each kind and mode.

    The judge's samples are kept beside it, in OUT.samples.jsonl, which makes it possible to go on, and what all is made
    from in OUT.settings.json, which says in the end what came of it.

    Raises:
        ValueError: for a run, pairs or files that this cannot be made with.
        hosts.Stopped: on SIGTERM; what was drawn is on the disk.
    """
    config = recorded_config(options.workdir)
    settings.check(config)
    out = Path(options.out)
    if not out.parent.is_dir():
        raise ValueError(f"{out}: no directory {out.parent}; make it first")
    source = options.pairs or config.data.train
    labelled = pairs.read(source, labelled=True)
    judge, weights, made_from = _judge(options, config, labelled)
    made_from |= {"pairs_sha256": file_sha256(source)} | _decisive(options)
    _sign(out, made_from)
    drawn: list[Sample] = []
    if options.mixture.get("sampled"):
        judge.memory(weights, "two_pass")  # too little of it is said now
        kept = out.with_name(f"{out.name}.samples.jsonl")
        drawn = draw(judge, weights, labelled, options.samples, seed=options.seed, path=kept)
    found = wrong(drawn, labelled)
    cells = wrongs.Cells(labelled)
    made = [each for pair in labelled for each in _of_pair(pair, options, cells, found)]
    if options.significant is not None:
        made = _balanced(made, {pair.pair_id for pair in labelled if pair.significant}, options)
    if not made:
        raise ValueError(f"{source}: no preference can be made of these pairs by --mixture")
    lines = "".join(json.dumps(dataclasses.asdict(each), ensure_ascii=False) + "\n" for each in made)
    write_atomically(out, lines)
    counts = Counter(f"{each.kind} {each.mode}" for each in made)
    came_of_it = {
        "preferences": dict(sorted(counts.items())),
        "samples": {
            "drawn": len(drawn),
            "unparsable": sum(row["parse_status"] != "ok" for row in drawn),
            "wrong_and_different": sum(map(len, found.values())),
        },
    }
    _write_settings(out, made_from | {_CAME_OF_IT: came_of_it})
    return counts


def _of_pair(
    pair: Pair, options: Options, cells: wrongs.Cells, found: Mapping[tuple[str, str], Sequence[Sample]]
) -> list[Preference]:
    """So many of a pair, none twice; fewer where it does not carry them, or a wrong sample was wanted and none is."""
    assert pair.errors is not None
    rng = random.Random(f"{options.seed} {pair.pair_id}")
    made: list[Preference] = []
    for _ in range(options.per_pair):
        mode = "two_pass" if rng.random() < options.two_pass_share else "one_pass"
        chosen = tuple(prompts.gold_answers(mode, Verdict(pair.errors)))
        left = {kind: share for kind, share in options.mixture.items() if share}
        while left:
            kind = rng.choices(list(left), list(left.values()))[0]
            del left[kind]
            new = _rejected(kind, mode, pair, rng, cells, found.get((pair.pair_id, mode), ()), made)
            if new is not None and new[0] != chosen:
                made.append(Preference(pair.pair_id, mode, kind, chosen, *new))
                break
            if kind == "sampled":
                break  # the judge is right here: what filled its place would soon outnumber its mistakes
    return made


def _balanced(made: Sequence[Preference], significant: Collection[str], options: Options) -> list[Preference]:
    """As many of them as have the share of significant pairs that is asked for; in their order."""
    assert options.significant is not None
    sides = [[each for each in made if (each.pair_id in significant) == side] for side in (True, False)]
    shares = options.significant, 1 - options.significant
    total = min(len(side) / share for side, share in zip(sides, shares, strict=True))
    rng = random.Random(f"{options.seed} balanced")
    kept = {id(e) for side, share in zip(sides, shares, strict=True) for e in rng.sample(side, round(total * share))}
    return [each for each in made if id(each) in kept]


def _rejected(
    kind: str,
    mode: str,
    pair: Pair,
    rng: random.Random,
    cells: wrongs.Cells,
    samples: Sequence[Sample],
    made: Sequence[Preference],
) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """Answers that no preference rejects yet, and what made them."""
    rejected = {(each.mode, each.rejected) for each in made}
    if kind == "sampled":
        new = [row for row in samples if (mode, tuple(row["raw"])) not in rejected]
        if not new:
            return None
        row = rng.choice(new)
        return tuple(row["raw"]), {"sample": row["sample"]}
    wrong = wrongs.KINDS[kind](pair, rng, cells)
    if wrong is None:
        return None
    answers = tuple(prompts.gold_answers(mode, wrong.verdict))
    return None if (mode, answers) in rejected else (answers, wrong.made_by)


def _judge(options: Options, config: ConfigDict, labelled: Sequence[Pair]) -> tuple[Judge, nnx.State, dict[str, Any]]:
    """The run's judge, at the temperature; and what says which it is."""
    mesh = sharding.make_mesh(config.eval.mesh)
    run = Run(config, options.workdir)
    model, conversation = load_base(config, mesh, sees_images(config, labelled))
    add_adapters(config, model, mesh)
    graph, _ = nnx.split(model)
    parts, fresh, base = lora.take_apart(model, trained_weights(config))
    step, trained = Checkpoints.newest_trained(run.checkpoints, fresh)
    whole = sharding.whole(mesh, trained)
    digest = hashlib.sha256()
    for name in sorted(whole):
        digest.update(name.encode() + np.asarray(whole[name]).tobytes())
    judge = Judge(
        graph,
        conversation,
        mesh,
        slots=options.slots or config.eval.slots,
        max_prompt_tokens=max(len(conversation.prompt(mode, pair)) for mode in prompts.MODES for pair in labelled),
        max_answer_tokens=config.eval.max_answer_tokens,
        temperature=options.temperature,
        max_positions=hf.max_positions(base_directory(config)),
    )
    made_from = {
        "run": json.loads(config.to_json_best_effort()),
        "step": step,
        "trained_sha256": digest.hexdigest(),
        "versions": versions(),
    }
    return judge, nnx.state(parts.assemble(trained, base)), made_from


def _decisive(options: Options) -> dict[str, Any]:
    """Of the options, those that decide what is made."""
    asked = dataclasses.asdict(options)
    return {name: asked[name] for name in asked if name not in ("workdir", "out", "pairs", "slots")}


def _sign(out: Path, made_from: dict[str, Any]) -> None:
    """Record what the preferences are made from, or make sure that they are made from the same."""
    beside = _settings(out)
    if beside.exists():
        try:
            before = json.loads(beside.read_text(encoding="utf-8"))
            before.pop(_CAME_OF_IT, None)
            differing = [name for name in sorted(before | made_from) if before.get(name) != made_from.get(name)]
        except (ValueError, AttributeError, TypeError):
            raise ValueError(f"{beside}: damaged; move it away, and what lies beside it of the same name") from None
        if differing:
            raise ValueError(
                f"{out}: is made from something else ({', '.join(differing)}); give another --out, or move it away "
                f"with {beside.name} and the samples"
            )
        return
    if out.exists():
        raise ValueError(f"{out}: exists, and {beside.name}, which says what it is made from, does not; move it away")
    _write_settings(out, made_from)


def _settings(out: Path) -> Path:
    return out.with_name(f"{out.name}.settings.json")


def _write_settings(out: Path, content: dict[str, Any]) -> None:
    write_atomically(_settings(out), json.dumps(content, indent=2, sort_keys=True) + "\n")


def _mixture(items: Sequence[str]) -> dict[str, float]:
    """Of `kind:share` each."""
    shares: dict[str, float] = {}
    for item in items:
        kind, _, share = item.partition(":")
        try:
            shares[kind] = float(share)
        except ValueError:
            shares[kind] = -1.0
        if kind not in KINDS or not 0 <= shares[kind] < float("inf"):
            raise ValueError(f"--mixture={','.join(items)}: must be kind:share, of {', '.join(KINDS)}")
    if not sum(shares.values()):
        raise ValueError(f"--mixture={','.join(items)}: no kind has a share")
    return shares


assert set(wrongs.KINDS) | {"sampled"} == set(preferences.KINDS)
