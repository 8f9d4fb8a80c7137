"""The two families of models, for tests that run over both: their random checkpoints under the same names.

Each has SHAPES, text, tensors, checkpoint, tokens and forward.
"""

from types import ModuleType

import pytest
import random_gemma3
import random_qwen3

FAMILIES: dict[str, ModuleType] = {"qwen3": random_qwen3, "gemma3": random_gemma3}
SHAPES = {shape: made for made in FAMILIES.values() for shape in made.SHAPES}
# A shape that stands for its family where one will do: text alone, untied.
SMALL = {"qwen3": "ratio4-untied-v5", "gemma3": "text-ratio4-untied-v5"}
# A test runs over both; any fixture that asks for `family` gets it too. Others get Qwen3, see `conftest.family`.
both = pytest.mark.parametrize("family", FAMILIES)
