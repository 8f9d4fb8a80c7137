"""What is too much for a device is refused in words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reeval import sharding
from reeval.decode import memory
from reeval.decode.memory import Memory, bytes_held


def test_too_much_is_refused_and_what_to_lower_is_said(monkeypatch):
    mesh = sharding.single_device_mesh()
    needed = Memory(weights=16 * 10**9, prefix=10**8, cache=9 * 10**9, temporaries=2 * 10**9)
    monkeypatch.setattr(memory, "device_limit", lambda mesh: needed.total)
    needed.check(mesh, slots=64, length=1000)
    monkeypatch.setattr(memory, "device_limit", lambda mesh: None)
    needed.check(mesh, slots=64, length=1000)
    monkeypatch.setattr(memory, "device_limit", lambda mesh: needed.total - 1)
    with pytest.raises(ValueError) as error:
        needed.check(mesh, slots=64, length=1000)
    message = str(error.value)
    for part in ("27.1 GB", "64 slots of 1000 tokens take 9.0 GB", "lower slots, max_prompt_tokens"):
        assert part in message
    assert "\n" not in message


def test_devices_of_a_cpu_share_its_memory():
    alone = memory.device_limit(sharding.single_device_mesh())
    assert 10**8 < alone < 10**15
    assert memory.device_limit(sharding.make_mesh((2, 2, 2))) == alone // 8


def test_a_container_may_grant_less(monkeypatch, tmp_path):
    mesh = sharding.single_device_mesh()
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path / "memory.max")
    machine = memory.device_limit(mesh)
    for granted, expected in (("max\n", machine), (f"{10**7}\n", 10**7), (f"{10**18}\n", machine)):
        (tmp_path / "memory.max").write_text(granted)
        assert memory.device_limit(mesh) == expected


def test_what_is_split_counts_once_on_each_device():
    mesh = sharding.make_mesh((2, 2, 2))
    split = jax.device_put(np.zeros((8, 6), np.float32), sharding.place(mesh, ("batch", None), (8, 6)))
    assert bytes_held([split, jnp.zeros(3, jnp.bfloat16)]) == 8 * 6 * 4 // 4 + 6
