"""What every test runs under: CPU, 8 virtual devices, no network, strict numerics.

The devices are set in this process only: a test that starts a command in another process says itself how many
devices that process has.
"""

import atexit
import os
import shutil
import tempfile

# Before the first import of jax or transformers.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# 8 devices on 2 cores reach a collective far apart in time; XLA's default is to give up and abort after 40 s.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=120",
        "--xla_cpu_collective_call_terminate_timeout_seconds=600",
    ]
).strip()

# What one test or its processes have compiled is not compiled by another: without this most of their time is XLA's.
# The first process of a session makes the directory; workers and commands find its name.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="reeval-compiled-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
# [B] + [B, D] is a mistake more often than a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def family() -> str:
    """Of the model that a test runs on, unless the test is parametrised over both (`families.both`)."""
    return "qwen3"
