"""What a working directory may be used for again."""

import json
from pathlib import Path

import pytest
import random_judge
from ml_collections import ConfigDict

from configs import tiny
from reeval import pairs, run, sharding
from reeval.run import Run

MESH = sharding.single_device_mesh()


@pytest.fixture
def config(tmp_path: Path) -> ConfigDict:
    made = tiny.get_config()
    made.data.train = str(tmp_path / "train.jsonl")
    pairs.write(made.data.train, random_judge.pairs(3))
    return made


def begun(config: ConfigDict, workdir: Path) -> Run:
    """A run with a checkpoint."""
    made = Run(config, workdir)
    made.claim(MESH)
    (made.checkpoints / "7").mkdir(parents=True)
    return made


def changed(config: ConfigDict, **fields: object) -> ConfigDict:
    other = config.copy_and_resolve_references()
    with other.unlocked():
        other.update_from_flattened_dict(fields)
    return other


def test_a_claim_records_what_decides_the_run(config: ConfigDict, tmp_path: Path) -> None:
    made = Run(config, tmp_path / "new" / "work")
    made.claim(MESH)
    record = json.loads((tmp_path / "new" / "work" / "run.json").read_text())
    assert record["train_pairs_sha256"] == run.file_sha256(config.data.train)
    assert {"jax", "flax", "orbax-checkpoint", "grain", "python"} <= set(record["versions"])
    recorded = run.recorded_config(tmp_path / "new" / "work")
    assert json.loads(recorded.to_json_best_effort()) == json.loads(config.to_json_best_effort())
    Run(recorded, made.workdir).claim(MESH)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train.steps", 1),
        ("lora.rank", 3),
        ("data.severity_weight", 2.0),
        ("model.path", "elsewhere"),
        ("prompt", "clinical-2"),
    ],
)
def test_another_run_is_refused_by_the_name_of_the_field(
    config: ConfigDict, tmp_path: Path, field: str, value: object
) -> None:
    begun(config, tmp_path / "work")
    before = (tmp_path / "work" / "run.json").read_bytes()
    with pytest.raises(ValueError, match=rf"holds a run with config\.{field}=.*, not {value!r}"):
        Run(changed(config, **{field: value}), tmp_path / "work").claim(MESH)
    assert (tmp_path / "work" / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [("mesh", (1, 1, 1)), ("eval.slots", 1), ("train.log_every", 1), ("train.checkpoint_every", 1)],
)
def test_where_and_how_often_may_change(config: ConfigDict, tmp_path: Path, field: str, value: object) -> None:
    begun(config, tmp_path / "work")
    Run(changed(config, **{field: value}), tmp_path / "work").claim(MESH)


def test_a_run_of_before_some_fields_goes_on_as_it_was(config: ConfigDict, tmp_path: Path) -> None:
    begun(config, tmp_path / "work")
    path = tmp_path / "work" / "run.json"
    record = json.loads(path.read_text())
    del record["config"]["model"]["quantized"], record["config"]["data"]["batching"]
    path.write_text(json.dumps(record))
    recorded = run.recorded_config(tmp_path / "work")
    assert (recorded.model.quantized, recorded.data.batching) == ("none", "packed")
    Run(config, tmp_path / "work").check_judge()
    with pytest.raises(ValueError, match=r"config\.data\.batching='packed', not 'grouped'"):
        Run(changed(config, **{"data.batching": "grouped"}), tmp_path / "work").claim(MESH)
    Run(config, tmp_path / "work").claim(MESH)


def test_grouped_batches_go_on_only_where_they_are_split_in_as_many_parts(config: ConfigDict, tmp_path: Path) -> None:
    begun(changed(config, **{"data.batching": "grouped"}), tmp_path / "work")
    grouped = Run(changed(config, **{"data.batching": "grouped"}), tmp_path / "work")
    grouped.claim(sharding.make_mesh((1, 1, 8)))
    with pytest.raises(ValueError, match=r"splits batches in 1, not in 8; go on with such a config\.mesh"):
        grouped.claim(sharding.make_mesh((4, 2, 1)))


def test_training_pairs_that_changed_are_refused(config: ConfigDict, tmp_path: Path) -> None:
    begun(config, tmp_path / "work")
    pairs.write(config.data.train, random_judge.pairs(4))
    with pytest.raises(ValueError, match=r"train\.jsonl: has changed since the run in .*work began"):
        Run(config, tmp_path / "work").claim(MESH)


def test_a_run_without_a_checkpoint_gives_way(config: ConfigDict, tmp_path: Path) -> None:
    # The first try names a model that is not there; the second, put right, must not be told to go elsewhere.
    Run(changed(config, **{"model.path": "wrong"}), tmp_path / "work").claim(MESH)
    Run(config, tmp_path / "work").claim(MESH)
    assert run.recorded_config(tmp_path / "work").model.path == config.model.path


def test_judging_asks_for_the_judge_that_was_trained(config: ConfigDict, tmp_path: Path) -> None:
    begun(config, tmp_path / "work")
    Run(changed(config, **{"train.steps": 9, "data.train": "gone"}), tmp_path / "work").check_judge()
    for field, value in (
        ("lora.alpha", 1.0),
        ("model.dtype", "bfloat16"),
        ("model.quantized", "int8"),
        ("prompt", "clinical-2"),
    ):
        with pytest.raises(ValueError, match=rf"config\.{field}="):
            Run(changed(config, **{field: value}), tmp_path / "work").check_judge()


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"config": 3}'])
def test_a_directory_without_a_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match="holds no run" if content is None else r"run\.json: damaged"):
        run.recorded_config(tmp_path)


def test_a_fingerprint_tells_checkpoints_of_one_shape_apart(tmp_path: Path) -> None:
    one, same, other = (
        run.checkpoint_fingerprint(random_judge.write_judge(tmp_path / name, seed=seed))
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one == same != other
    template = (tmp_path / "same" / "chat_template.jinja").read_text()
    (tmp_path / "same" / "chat_template.jinja").write_text(template + " ")
    assert run.checkpoint_fingerprint(tmp_path / "same") != one


@pytest.mark.parametrize(
    "template", ["{% for m in messages %}{{", "{{ raise_exception('the reports: ' + messages[0].content) }}"]
)
def test_a_damaged_chat_template_is_the_directorys_fault(tmp_path: Path, template: str) -> None:
    judge = random_judge.write_judge(tmp_path / "judge")
    (judge / "chat_template.jinja").write_text(template)
    config = tiny.get_config()
    config.model.path = str(judge)
    with pytest.raises(ValueError, match="the chat template cannot be rendered") as caught:
        run.load_base(config, sharding.single_device_mesh())
    assert str(caught.value).startswith(f"{judge}: ") and "reports" not in str(caught.value)


@pytest.mark.parametrize("workdir", ["s3://bucket/run", Path("s3://bucket/run")])
def test_a_bucket_of_another_kind_is_refused_and_makes_no_directory(
    config: ConfigDict, workdir: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="s3://bucket/run: only gs:// is written to directly; mount other buckets"):
        Run(config, workdir).claim(MESH)
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]
