"""Scoring with judges of other kinds: an adapter over a base model, a model that sees, two processes at one table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import random_judge
import seeing_judge
from flax import nnx

from reeval import cli, hf, lora, pairs

ROOT = Path(__file__).parents[2]
FLAGS = ["--prompt=compact-1", "--slots=2", "--max-answer-tokens=24"]


def scored(given: Path, out: Path, *flags: str) -> list[dict]:
    assert cli.main(["score", *FLAGS, *flags, f"--pairs={given}", f"--out={out}"]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_an_adapter_scores_as_what_it_is_merged_to(tmp_path):
    base = random_judge.write_judge(tmp_path / "base")
    config = lora.LoRAConfig(rank=3, alpha=6.0)
    model = hf.load_model(base)
    lora.add(model, config, hf.module_name, rngs=nnx.Rngs(0))
    noise = np.random.default_rng(0)
    adapter = jax.tree.map(lambda x: 0.3 * noise.normal(size=x.shape).astype(np.float32), lora.take_apart(model)[1])
    hf.save_adapter(tmp_path / "adapter", base, adapter, config)
    hf.save_merged(tmp_path / "merged", base, adapter, config)
    given = tmp_path / "in.jsonl"
    pairs.write(given, random_judge.pairs(4))
    plain = scored(given, tmp_path / "plain.jsonl", f"--model={base}")
    over = scored(given, tmp_path / "over.jsonl", f"--model={base}", f"--adapter={tmp_path / 'adapter'}")
    merged = scored(given, tmp_path / "merged.jsonl", f"--model={tmp_path / 'merged'}")
    assert [row["raw"] for row in over] == [row["raw"] for row in merged]
    np.testing.assert_allclose([row["score"] for row in over], [row["score"] for row in merged], atol=1e-5)
    assert [row["raw"] for row in over] != [row["raw"] for row in plain], "the adapter does nothing"
    signatures = {rows[0]["signature"] for rows in (plain, over, merged)}
    assert len(signatures) == 3


def test_a_judge_that_sees_is_given_the_image_beside_the_table(tmp_path):
    judge = seeing_judge.write_judge(tmp_path / "judge", seed=2)  # one that says more where it sees an image
    (tmp_path / "table").mkdir()
    for seed in (0, 1):
        seeing_judge.write_image(tmp_path / "table" / "images" / f"{seed}.png", seed=seed)
    rows = [
        {"id": name, "reference": "left one", "candidate": "right one", "image": image}
        for name, image in (("a", "images/0.png"), ("b", "images/1.png"), ("none", ""), ("same", "images/0.png"))
    ]
    given = tmp_path / "table" / "in.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out.jsonl"
    found = {row["id"]: row["raw"] for row in scored(given, out, f"--model={judge}")}
    assert found["a"] == found["b"] == found["same"] != found["none"], "images are not seen"
    # Another image under the same name is another pair: of four, two are judged again.
    seeing_judge.write_image(tmp_path / "table" / "images" / "0.png", seed=2)
    scored(given, out, f"--model={judge}")
    judged = [json.loads(line)["pair_id"] for line in Path(f"{out}.log.jsonl").read_text().splitlines()]
    assert sorted(judged) == ["a", "a", "b", "none", "same", "same"]


def test_two_processes_at_once_make_one_table(tmp_path):
    judge = random_judge.write_judge(tmp_path / "judge")
    given = tmp_path / "in.jsonl"
    pairs.write(given, random_judge.pairs(9))
    alone = scored(given, tmp_path / "alone.jsonl", f"--model={judge}")
    line = [sys.executable, "-m", "reeval.cli", "score", *FLAGS, f"--model={judge}", f"--pairs={given}"]
    line += [f"--out={tmp_path / 'both.jsonl'}", "--shares=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    jobs = [
        subprocess.Popen([*line, f"--share={n}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for n in range(2)
    ]
    for job in jobs:
        said = job.communicate()[1].decode()
        assert job.returncode == 0, said[-300:]
    both = [json.loads(line) for line in (tmp_path / "both.jsonl").read_text().splitlines()]
    assert [row["raw"] for row in both] == [row["raw"] for row in alone]
    np.testing.assert_allclose([row["score"] for row in both], [row["score"] for row in alone], atol=1e-5)
