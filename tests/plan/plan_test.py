"""`reeval plan` on topologies that are not at hand: every config compiles, and mistakes are one line."""

import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
from ml_collections import ConfigDict
from real_shapes import MODELS

from configs import embedded_judge, medgemma_4b, qwen3_8b, qwen3_8b_dpo, tiny, tiny_dpo
from reeval import sharding
from reeval.chips import TPUS
from reeval.cli import main
from reeval.plan import command, plan
from reeval.plan.needs import Needs
from reeval.plan.topology import chip_of, devices_of

pytest.importorskip("libtpu", reason="reeval plan needs libtpu: pip install -e '.[plan]'")

CONFIGS = {"qwen3_8b": qwen3_8b, "medgemma_4b": medgemma_4b, "tiny": tiny, "embedded_judge": embedded_judge}
CONFIGS |= {"qwen3_8b_dpo": qwen3_8b_dpo, "tiny_dpo": tiny_dpo}
WIDE = "200"


@pytest.fixture
def config(tmp_path: Path, name: str) -> ConfigDict:
    module: ModuleType = CONFIGS[name]
    made: ConfigDict = module.get_config()
    if (model := name.removesuffix("_dpo")) in MODELS:
        (tmp_path / "config.json").write_text(json.dumps(MODELS[model]))
        made.model.path = str(tmp_path)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("qwen3_8b", "train"),
        ("qwen3_8b", "score"),
        ("medgemma_4b", "train"),
        ("medgemma_4b", "score"),
        ("tiny", "both"),
        ("embedded_judge", "both"),
        ("qwen3_8b_dpo", "train"),
        ("tiny_dpo", "train"),
    ],
)
def test_a_configs_header_says_what_it_takes_of_the_smallest_slice(name, what, config):
    """Second stages score as the first. The masks of dropout take two thirds of the time to compile a large training
    step and little memory, so only REEVAL_NIGHTLY=1 compiles them."""
    header = CONFIGS[name].__doc__
    if name in MODELS and not os.environ.get("REEVAL_NIGHTLY"):
        config.lora.dropout = 0.0
    planned = plan(config, re.search(r"--topology=(\S+)", header)[1], what=what)
    assert planned
    for needs in planned:
        said = float(re.search(rf"{needs.name} ([\d.]+) GB", header)[1])
        # Another version of libtpu may place things otherwise.
        assert needs.fits and needs.peak / 1e9 == pytest.approx(said, rel=0.1)
        if needs.name == "training step" and config.train.get("remat") == "full":
            # Each layer is computed twice forward and once back.
            assert needs.recomputation is not None and 1.25 < needs.recomputation < 1.75


@pytest.mark.parametrize("name", ["tiny"])
def test_one_chip_has_nobody_to_talk_to(config, tmp_path):
    (needs,) = plan(config, "v5p:1x1x1", what="train", json_file=str(tmp_path / "plan.json"))
    assert needs.fits and 0 < needs.free < chip_of("v5p:1x1x1").hbm
    assert needs.arguments + needs.temporaries <= needs.peak
    assert needs.times["interconnect"] == 0
    figures = json.loads((tmp_path / "plan.json").read_text())
    assert figures["programs"][0]["peak"] == needs.peak


@pytest.mark.parametrize(("name", "mesh"), [("tiny", (2, 4, 1))])
def test_a_small_config_trains_and_scores_on_two_slices_of_four_chips(name, mesh, config, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", WIDE)
    config.mesh = config.eval.mesh = mesh
    step, prefill, decode = plan(config, "v4:2x2x1", slices=2)
    assert all(each.fits and each.memory_bytes and each.seconds > 0 for each in (step, prefill, decode))
    # Layers split along `fsdp` are sent around, and gradients are summed.
    assert sum(step.sent.values()) > 0
    # Each chip's quarter of the adapters' gradients goes to the other slice, and of what is whole on each chip all.
    adapters = 4 * 4 * 16 * (2 * (128 + 128) + 2 * (128 + 64) + 3 * (128 + 384))
    assert adapters / 4 < step.sent_across["all-reduce"] < adapters
    assert step.times["network between slices"] > 0
    assert decode.tokens == config.eval.slots
    said = capsys.readouterr().out
    assert "275 TFLOP/s" in said and "sent between slices by all-reduce, GB" in said and "bound by" in said


@pytest.mark.parametrize("name", ["qwen3_8b"])
def test_what_does_not_fit_is_a_row(config, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", WIDE)
    found = plan(config, "v5e:1x1", what="score")
    # 16 GB of weights, twice, on a chip of 16 GiB.
    assert [needs.fits for needs in found] == [False, False]
    assert all(needs.mesh == (1, 1, 1) and needs.peak > chip_of("v5e:1x1").hbm and needs.free < 0 for needs in found)
    for line, needs in zip(_rows(capsys.readouterr().out)[1:], found, strict=True):
        assert line[0] == needs.name and line[-2] == "no"
        assert line[-4:-2] == [f"{needs.peak / 1e9:.2f}", f"{needs.free / 1e9:.2f}"]


def _rows(said: str) -> list[list[str]]:
    """Of the first table, its heading first."""
    table = said.partition("└")[0]
    return [[cell.strip() for cell in re.split("[┃│]", line)[1:-1]] for line in table.splitlines() if line[0] in "┃│"]


@pytest.mark.parametrize(
    "topology", ["v4:2x2x1", "v4:1x1x1", "v5e:1x1", "v5e:2x4", "v5p:2x2x1", "v5p:2x2x2", "v6e:1x1", "v6e:4x4"]
)
def test_every_generation_has_devices(topology):
    devices = devices_of(topology)
    shape = [int(n) for n in topology.partition(":")[2].split("x")]
    assert len(devices) == shape[0] * shape[1] * (shape[2] if len(shape) > 2 else 1)
    assert devices[0].platform == "tpu"
    assert topology.partition(":")[0] in TPUS


def test_slices_are_split_along_data_or_else_fsdp():
    devices = devices_of("v5e:2x2", 2)
    for shape in ((2, -1, 1), (1, -1, 1), (1, 4, 2)):
        mesh = sharding.make_mesh(shape, devices)
        assert [device.slice_index for device in mesh.devices.flat] == [0] * 4 + [1] * 4
    with pytest.raises(ValueError, match="cannot be split over 2 slices; make data a multiple of 2"):
        sharding.make_mesh((1, 1, 8), devices)


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ("v5e:3x5x7", "--topology=v5e:3x5x7: cannot be described"),
        ("v9:2x2", "there are v4, v5e, v5p, v6e"),
        ("nonsense", "it looks like v5e:2x4"),
    ],
)
def test_a_wrong_topology_is_one_line(topology, message, capsys):
    assert main(["plan", "--config=configs/tiny.py", f"--topology={topology}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message in line


@pytest.mark.parametrize("name", ["embedded_judge"])
@pytest.mark.parametrize(
    ("flags", "says"),
    [({"what": "score"}, "--what=score: .* scores nothing"), ({"search": True}, "--search: .* has no remat policies")],
)
def test_training_from_scratch_has_nothing_else_to_plan(config, flags, says):
    with pytest.raises(ValueError, match=says):
        plan(config, "v5e:1x1", **flags)


@pytest.mark.parametrize("name", ["tiny"])
def test_training_all_weights_takes_their_gradients(config):
    config.train.attention = "xla"
    needs, least = {}, {}
    for tuning in ("lora", "full"):
        config.tuning = tuning
        (needs[tuning],) = plan(config, "v5e:1x1", what="train")
        least[tuning] = needs[tuning].flops / needs[tuning].recomputation
    # 6 operations a weight and token and not 4; of the head for a chunk of each row.
    blocks = 4 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 384)
    assert least["full"] - least["lora"] == pytest.approx(2 * (blocks * 8 * 480 + 1536 * 128 * 8 * 64), rel=0.01)
    # Adapters and attention, of which the program leaves out what is masked, blur that.
    assert 1.1 < needs["full"].flops / needs["lora"].flops < 1.3


@pytest.mark.parametrize("name", ["tiny"])
def test_a_search_finds_the_largest_batch_of_each_policy(config, tmp_path, capsys, monkeypatch):
    """By a made-up memory: a row takes the less, the more is recomputed, and two fit or a few more."""
    monkeypatch.setenv("COLUMNS", WIDE)
    each = {"none": 8e9, "dots": 5e9, "full": 2e9}
    compiled = []

    def step(config, devices):
        compiled.append((config.train.remat, config.train.batch_size))
        return compiled[-1]

    def needs_of(program, chip, slices):
        policy, rows = program
        peak = rows * each[policy]
        times = {"compute": 1e-3 * rows} if peak <= chip.hbm else {}
        return Needs("training step", "", (1, 1, 1), peak <= chip.hbm, peak, chip.hbm - peak, times=times, tokens=rows)

    monkeypatch.setattr(command, "training_step", step)
    monkeypatch.setattr(command, "needs_of", needs_of)
    file = tmp_path / "plan.json"
    (asked,) = plan(config, "v5e:1x1", what="train", search=True, json_file=str(file))
    assert not asked.fits and asked.peak == 8 * 8e9
    found = {row["remat"]: row["batch_size"] for row in json.loads(file.read_text())["search"]}
    assert list(found.items()) == [("none", 2), ("dots", 3), ("full", 8)]
    assert (config.train.remat, config.train.batch_size) == ("none", 8), "it is the caller's"
    said = capsys.readouterr().out
    assert "remat none, 3 rows: does not fit, 24.00 GB" in said
    assert "recomputes least and fits: --config.train.remat=none --config.train.batch_size=2; the largest" in said
    assert "batch: --config.train.remat=full --config.train.batch_size=8" in said
    each.update(dict.fromkeys(each, 1e12))
    plan(config, "v5e:1x1", what="train", search=True)
    assert "No batch fits." in capsys.readouterr().out


def test_configs_are_all_covered():
    (cases,) = (
        mark.args[1]
        for mark in test_a_configs_header_says_what_it_takes_of_the_smallest_slice.pytestmark
        if mark.name == "parametrize"
    )
    compiled = {(name, part) for name, what in cases for part in (("train", "score") if what == "both" else (what,))}
    configs = {path.stem for path in (Path(__file__).parents[2] / "configs").glob("*.py")} - {"study"}
    assert set(CONFIGS) == configs  # a study trains nothing
    assert {(name, "train") for name in configs} <= compiled
    assert {(name, "score") for name in configs if not name.endswith("_dpo")} <= compiled
