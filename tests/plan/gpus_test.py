"""`reeval plan` on GPUs that are not at hand, by jax's CUDA compiler."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_shapes import MODELS

from configs import qwen3_8b, tiny
from reeval import sharding
from reeval.chips import GPUS, peak_flops
from reeval.cli import main
from reeval.models.layers import placement
from reeval.plan import gpus, plan
from reeval.plan.topology import chip_of, devices_of


@pytest.fixture
def compiler() -> None:
    pytest.importorskip(
        "jax_cuda13_plugin", reason="plans of GPUs need jax's CUDA plugin: pip install -e '.[plan-gpu]'"
    )


@pytest.mark.parametrize("name", GPUS)
def test_a_name_gives_the_gpus_of_one_machine(name: str, compiler: None) -> None:
    devices = devices_of(f"{name}:8")
    assert len(devices) == 8 and {device.platform for device in devices} == {"gpu"}
    assert peak_flops(devices[0].device_kind) == GPUS[name].flops == chip_of(f"{name}:1").flops
    with sharding.activations(sharding.make_mesh((8, 1, 1), devices)):
        major, minor = placement().capability
    assert (major, minor) == {"a100": (8, 0), "l40s": (8, 9)}.get(name, (9, 0))


def test_a_small_config_trains_and_scores_on_two_machines_of_four(
    compiler: None, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    config = tiny.get_config()
    config.mesh = config.eval.mesh = (2, 4, 1)
    step, prefill, decode = plan(config, "a100:4", slices=2)
    assert all(each.fits and each.memory_bytes and each.seconds > 0 for each in (step, prefill, decode))
    # Each GPU's quarter of the adapters' gradients goes to the other machine, and twice 7/8 of what all eight sum.
    adapters = 4 * 4 * 16 * (2 * (128 + 128) + 2 * (128 + 64) + 3 * (128 + 384))
    assert adapters / 4 < step.sent_across["all-reduce"] < 2 * adapters
    assert step.sent and decode.tokens == config.eval.slots
    said = capsys.readouterr().out
    assert "312 TFLOP/s in bfloat16, 67 GiB of memory" in said and "Compiled without a GPU" in said


def test_a_judge_of_real_size_trains_on_one_gpu(compiler: None, tmp_path: Path) -> None:
    config = qwen3_8b.get_config()
    (tmp_path / "config.json").write_text(json.dumps(MODELS["qwen3_8b"]))
    config.model.path = str(tmp_path)
    config.train.batch_size = 8
    config.mesh = (1, 1, 1)
    # cuDNN is not among what tests install.
    config.train.attention = "blockwise"
    (needs,) = plan(config, "h200:1", what="train")
    assert needs.fits and needs.what == "8 rows of 2048 tokens"
    # The base in bfloat16, adapters and their optimizer in float32.
    base = 2 * 8.19e9
    assert base < needs.arguments < 1.07 * base and 0 < needs.temporaries < base
    # Each weight is read three times, and activations are; with stacks of weights read whole by each layer it was 223.
    assert 3 < needs.memory_bytes / base < 180


@pytest.mark.parametrize("topology", ["h100:9", "h100:0", "h100:2x2", "h100", "v100:1"])
def test_a_name_that_is_none_is_one_line(topology: str, capsys: Any) -> None:
    assert main(["plan", "--config=configs/tiny.py", f"--topology={topology}"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert f"--topology={topology}" in line and "a100, h100, h200, l40s" in line


def test_without_the_compiler_it_says_what_to_install(capsys: Any, monkeypatch: Any) -> None:
    def missing(*args: object, **kwargs: object) -> None:
        raise RuntimeError("Unknown platform cuda")

    monkeypatch.setattr(gpus.topologies, "get_topology_desc", missing)
    assert main(["plan", "--config=configs/tiny.py", "--topology=h100:1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert re.search(r"cannot be described \(Unknown platform cuda\).*pip install -e '\.\[plan-gpu\]'", line)


def test_each_machine_is_one_part_of_the_mesh(compiler: None) -> None:
    mesh = sharding.make_mesh((2, 2, 2), devices_of("h100:4", 2))
    hosts = np.vectorize(lambda device: device.process_index)(mesh.devices)
    assert [set(part.flat) for part in hosts] == [{0}, {1}]
