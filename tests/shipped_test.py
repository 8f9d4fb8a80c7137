"""The shipped pairs: what their card says, and the same bytes whenever they are made."""

import gzip
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from reeval import pairs, taxonomy
from reeval.benchmarks.classifiers import balanced_accuracies
from reeval.benchmarks.overlap import References, overlap
from reeval.benchmarks.pieces import problems

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "reeval" / "shipped"


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[pairs.Pair]]:
    return {split: pairs.read(SHIPPED / f"{split}.jsonl.gz", labelled=True) for split in ("train", "heldout")}


@pytest.mark.slow
def test_one_command_makes_them_byte_for_byte(tmp_path):
    environment = os.environ | {"WORKDIR": str(tmp_path), "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    command = ["bash", str(ROOT / "launch" / "shipped_pairs.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    for split in ("train", "heldout"):
        packed = (SHIPPED / f"{split}.jsonl.gz").read_bytes()
        assert f"{split}: the same as the shipped pairs" in done.stdout
        assert (tmp_path / f"{split}.jsonl").read_bytes() == gzip.decompress(packed)


def test_they_are_as_many_as_promised_and_touch_nothing_but_what_they_say(shipped):
    assert len(shipped["train"]) >= 4000 and len(shipped["heldout"]) >= 600
    for found in shipped.values():
        assert [problem for pair in found for problem in problems(pair)] == []
        assert abs(sum(pair.significant for pair in found) - len(found) / 2) <= 0.01 * len(found)


def test_every_cell_is_there_and_a_frequent_one_gives_no_severity_away(shipped):
    counts = Counter((e.aspect, e.type, e.severity) for pair in shipped["train"] for e in pair.errors)
    for aspect, kind in taxonomy.CELLS:
        grave, harmless = (counts[aspect, kind, severity] for severity in taxonomy.SEVERITIES)
        assert grave + harmless >= 5, (aspect, kind)
        if grave + harmless >= 100:
            assert 0.3 < grave / (grave + harmless) < 0.7, (aspect, kind)


def test_held_out_reports_are_new(shipped):
    found = overlap(*(References.of(shipped[split]) for split in ("train", "heldout")))
    assert found["benchmark_references"] >= 300
    assert [found[what] for what in ("shared_ids", "same_texts", "near_duplicates")] == [[], [], []]


def test_no_trivial_classifier_knows_the_labels(shipped):
    for found in shipped.values():
        assert all(figure < 70 for figure in balanced_accuracies(found).values())
