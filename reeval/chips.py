"""What accelerators can do at best, by their makers."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """A TPU or a GPU.

    Attributes:
        flops: peak in bfloat16, a second.
        hbm: bytes that programs can have.
        hbm_rate, ici_rate, dcn_rate: bytes a second of its memory; that it can send over all its links to chips of
            its slice, or its machine; and its share of what its host sends to others.
    """

    flops: float
    hbm: float
    hbm_rate: float
    ici_rate: float
    dcn_rate: float


# cloud.google.com/tpu/docs/v4, v5e, v5p and v6e, "System architecture", read in November 2026. They give the links of
# v5e, v5p and v6e in both directions together (400, 1200 and 800 GB/s); half of it goes out. Those of v4 are six of
# 50 GB/s ("TPU v4: An Optically Reconfigurable Supercomputer", arXiv 2304.01433). The data centre network is what a
# pod has over its chips (v5e: 6.4 Tb/s over 256; v6e: 25.6), which is not published for v4 and v5p: 200 Gb/s a host
# of four chips is taken.
TPUS = {
    "v4": Chip(275e12, 32 * 2**30, 1200e9, 300e9, 6.25e9),
    "v5e": Chip(197e12, 16 * 2**30, 819e9, 200e9, 3.125e9),
    "v5p": Chip(459e12, 95 * 2**30, 2765e9, 600e9, 6.25e9),
    "v6e": Chip(918e12, 32 * 2**30, 1638e9, 400e9, 12.5e9),
}

# NVIDIA's data sheets of the SXM modules and of the L40S, which has no NVLink but PCIe, read in November 2026; NVLink
# is given in both directions together. Bytes are nine tenths, which launch/gpu.sh gives to jax, of the data sheets'
# gigabytes: drivers report a little more or less. One network card a GPU: of 200 Gb/s in DGX A100, 400 in DGX H100 and
# H200 and, a guess, 100 beside an L40S.
GPUS = {
    "a100": Chip(312e12, 0.9 * 80e9, 2039e9, 300e9, 25e9),
    "h100": Chip(989e12, 0.9 * 80e9, 3350e9, 450e9, 50e9),
    "h200": Chip(989e12, 0.9 * 141e9, 4800e9, 450e9, 50e9),
    "l40s": Chip(362e12, 0.9 * 48e9, 864e9, 32e9, 12.5e9),
}

# By the beginning of jax's `device_kind`, the longer ones first. GPUs: dense, from NVIDIA's data sheets.
_PEAKS = {
    "TPU v4": TPUS["v4"].flops,
    "TPU v5 lite": TPUS["v5e"].flops,
    "TPU v5": TPUS["v5p"].flops,
    "TPU v6 lite": TPUS["v6e"].flops,
    "NVIDIA A100": GPUS["a100"].flops,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": GPUS["h100"].flops,
    "NVIDIA H200": GPUS["h200"].flops,
    "NVIDIA B200": 2250e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": GPUS["l40s"].flops,
}


def peak_flops(device_kind: str) -> float | None:
    """FLOP a second in bfloat16 of a device of this kind; None if it is not in the table, as CPUs are not."""
    found = [kind for kind in _PEAKS if device_kind.startswith(kind)]
    return _PEAKS[max(found, key=len)] if found else None
