"""The peaks of accelerators by the names that jax has for them."""

import pytest

from reeval.chips import TPUS, peak_flops


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("TPU v4", 275e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5", 459e12),
        ("TPU v6 lite", 918e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("cpu", None),
        ("NVIDIA GeForce GT 710", None),
    ],
)
def test_a_kind_has_its_peak_or_none(kind: str, peak: float | None) -> None:
    assert peak_flops(kind) == peak


def test_the_table_knows_the_kinds_that_jax_gives_to_tpus() -> None:
    pytest.importorskip("libtpu")
    from reeval.plan.topology import devices_of

    for topology in ("v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2"):
        assert peak_flops(devices_of(topology)[0].device_kind) == TPUS[topology.partition(":")[0]].flops
