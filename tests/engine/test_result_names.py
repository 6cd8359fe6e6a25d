"""Names of results: all in one file, each once, and none written out elsewhere in the engine."""

import ast
from pathlib import Path

import pytest

from engine import result_names
from engine.metrics import MEASURES
from engine.result_names import (
    CellsRecord,
    EpochRecord,
    EvaluationRecord,
    ImagesErrors,
    Metric,
    OfStudy,
    OfTrial,
    RunArtifact,
    Tag,
)
from tests.engine.stages.conftest import Workshop

ROOT = Path(__file__).parents[2]
KINDS = (OfStudy, OfTrial, Tag, Metric, RunArtifact)


def names_of(kind: type) -> list[str]:
    return [value for name, value in vars(kind).items() if name.isupper() and isinstance(value, str)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_means_one_thing(kind: type) -> None:
    names = names_of(kind)
    assert names
    assert len(set(names)) == len(names)


def test_the_names_that_others_read_stay() -> None:
    assert (OfTrial.SLOT, OfTrial.SEED) == ("slot", "seed")
    assert (Tag.STUDY, Tag.SLOT, Tag.PURPOSE) == ("robustune.study", "robustune.slot", "robustune.purpose")
    assert (Metric.OBJECTIVE, Metric.CLEAN, Metric.PROBE) == ("objective", "test/clean", "probe/error")
    assert Metric.corruption("fog") == "test/fog"
    assert Metric.cell("fog", 3) == "severity/fog/3"


def test_an_epoch_of_another_probe_has_metrics_of_its_own() -> None:
    own = {Metric.of_epoch(key, own_watch=True) for key in Metric.BY_EPOCH}
    assert own == set(Metric.BY_EPOCH.values())
    others = {key: Metric.of_epoch(key, own_watch=False) for key in Metric.BY_EPOCH}
    assert others["probe_error"] == Metric.OTHER_PROBE
    assert others["loss"] == Metric.BY_EPOCH["loss"]  # the training is the same, whoever watches


def test_no_other_file_of_the_engine_writes_tags_metrics_or_attributes_out() -> None:
    """An unmistakable name (with a dot or a slash) stands nowhere else; attributes are never got by a written name."""
    unmistakable = {
        name for kind in (Tag, Metric, RunArtifact) for name in names_of(kind) if "/" in name or "." in name
    }
    found = []
    for path in sorted((ROOT / "engine").rglob("*.py")):
        if path == Path(result_names.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant) and node.value in unmistakable:
                found.append(f"{where}: {node.value!r}")
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(("user_attrs", ".tags")):
                found += [f"{where}: {ast.unparse(node)}"] * isinstance(node.slice, ast.Constant)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("user_attrs.get", "set_user_attr", ".tags.get")
            ):
                found += [f"{where}: {ast.unparse(node)}"] * isinstance(node.args[0], ast.Constant)
    assert not found, "names of results stand in engine/result_names.py: " + ", ".join(found)


def test_what_stages_tell_and_end_with_has_the_documented_shape(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    done = {
        outcome.spec.stage: outcome.artifact
        for outcome in workshop.run(workshop.plan(evaluate__sequences=["translate"]))
    }
    by_trial = {"stage", "step", "value", "own", "own_watch"}  # are added on the way to the study
    for stage in ("pretrain", "finetune"):
        for number, record in enumerate(done[stage].history, start=1):
            assert record["epoch"] == number
            documented = set(EpochRecord.__annotations__) - by_trial - {"metrics"}
            assert set(record) == documented - ({"tuned_distortion_error"} if stage == "pretrain" else set())
    for record in done["evaluate"].history:
        assert set(record) == set(CellsRecord.__annotations__) - by_trial
    errors = done["evaluate"].json("errors")
    assert set(errors) == set(EvaluationRecord.__annotations__) - {"metrics"}
    assert set(errors["test"]) == set(ImagesErrors.__annotations__)
    assert set(errors["validation"]) == {"n_images", "clean", "calibration", "corrupted"}
    for part in ("validation", "test"):
        assert all(set(row) == {"corruption", "severity", "error", *MEASURES} for row in errors[part]["corrupted"])
