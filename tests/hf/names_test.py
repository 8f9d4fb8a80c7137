import json
from pathlib import Path

import pytest

from reeval import hf


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"max_position_embeddings": 40960}, 40960),
        # A multimodal config says it of its text part.
        ({"text_config": {"max_position_embeddings": 131072}, "vision_config": {"max_position_embeddings": 1}}, 131072),
        ({}, None),
        ({"max_position_embeddings": None}, None),
        ({"max_position_embeddings": True}, None),
    ],
)
def test_how_many_positions_a_model_was_made_for(tmp_path: Path, config: dict, positions: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert hf.max_positions(tmp_path) == positions
