"""What the dry run says is what the run would do."""

import contextlib
import dataclasses
import json
import re
import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from engine.errors import InputError
from engine.orchestration.cluster import connection
from engine.orchestration.cluster.connection import Cluster
from engine.orchestration.cluster.slots import Machine, plan_slots
from engine.orchestration.dry_run import print_dry_run
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.search import SweepStudy, read_results
from engine.orchestration.search.pruners import parse_pruner
from engine.orchestration.search.remaining_trials import remaining_trials
from engine.orchestration.tracking import Spool
from engine.orchestration.tracking.spool_owner import spool_path
from engine.settings import TrialConfig
from engine.spaces import Arm, Choice, Space
from engine.stages import TrialPlan
from pipelines.sweep import command_line
from tests.documents import bring_module
from tests.engine.orchestration.spaces import SPACE, TINY
from tests.engine.orchestration.studies import make_sweep_study


def prepared(tmp_path: Path, space: Space = SPACE, **options) -> Prepared:
    return prepare(SweepOptions(**{"home": tmp_path / "home", "study": "s", "sampler": "random", **options}), space)


def dry_run(of: Prepared) -> str:
    out = StringIO()
    print_dry_run(Console(file=out, width=200), of)
    return out.getvalue()


def study_of(of: Prepared, resolve: Callable[[TrialConfig], str] | None = None) -> SweepStudy:
    options = of.options
    return make_sweep_study(
        of.planned,
        storage=options.storage_url,
        name="s",
        sampler="random",
        pruner=parse_pruner("none"),
        resolve=resolve or of.identity,
    )


def run_some(study: SweepStudy, n_trials: int) -> None:
    """Complete trials, each better than all before."""
    for _ in range(n_trials):
        proposal = study.ask()
        assert proposal is not None
        study.complete(proposal.number, 1 - proposal.number / 100)


def wanted(output: str, stage: str) -> int:
    """Return how many trials want a stage, by the table."""
    (row,) = [line for line in output.splitlines() if line.startswith(f"│ {stage} ")]
    return int(row.split("│")[2])


@pytest.mark.parametrize("more", [["--dry-run"], []])
def test_a_study_of_other_code_is_refused_before_anything_starts(tmp_path: Path, more: list[str], capsys) -> None:
    of = prepared(tmp_path)
    run_some(study_of(of, lambda config: f"{of.identity(config)} as the code was"), 2)
    (tmp_path / "space.json").write_text(json.dumps(SPACE.to_json()))
    given = ["--space", str(tmp_path / "space.json"), "--home", str(tmp_path / "home"), "--study", "s"]
    assert command_line([*given, "--sampler", "random", *more]) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith("error: study 's' was begun with other code or images: 2 of its 2 finished trials")


def test_the_default_number_of_trials_is_said(tmp_path: Path, capsys) -> None:
    assert command_line(["--home", str(tmp_path / "home"), "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert (
        "34 trials: 18 of the arms, 10 proposed by tpe, 6 to compute the best again; so many suit the space" in output
    )
    assert "too few" not in output
    assert not (tmp_path / "home" / "optuna.db").exists()


def test_too_few_trials_for_the_winners_repeats_are_said(tmp_path: Path) -> None:
    said = "7 trials are too few to compute the best proposal on the arms' seeds: from 8 on it is"
    assert said in dry_run(prepared(tmp_path, n_trials=7))
    assert said not in dry_run(prepared(tmp_path, n_trials=8))
    assert "too few" not in dry_run(prepared(tmp_path, n_trials=4)), "of arms alone nothing is the best"


def test_a_space_of_few_configurations_has_as_many_proposals(tmp_path: Path) -> None:
    few = dataclasses.replace(SPACE, axes=(Choice("push_pull.where", ("none", "first", "first_block")),))
    planned = prepared(tmp_path, few).planned
    assert (planned.n_arm_trials, planned.n_proposals, planned.n_winner_trials) == (4, 3, 2)


@pytest.mark.parametrize("options", [{}, {"gpus_per_slot": 0}, {"gpus_per_slot": 0.5}])
def test_the_stages_are_planned_for_the_device_that_the_run_would_use(tmp_path: Path, monkeypatch, options) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    devices = set()

    class Watched(Prepared):
        def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
            plan = super().plan(config, device=device)
            devices.add(next(iter(plan)).numerics["device"])
            return plan

        def identity(self, config: TrialConfig) -> str:
            return config.digest

    of = prepared(tmp_path, n_trials=8, **options)
    watched = Watched(**{field.name: getattr(of, field.name) for field in dataclasses.fields(Prepared)})
    dry_run(watched)
    assert devices == {plan_slots(of.options.slot_request, n_cpus=2, n_gpus=1).device}


ADDRESS = {"ray_address": "127.0.0.1:1"}
"""Where nothing listens."""


def test_where_the_cluster_does_not_say_what_it_has_that_is_said(tmp_path: Path) -> None:
    assert "planned for cpu, since the cluster does not say what it has" in dry_run(prepared(tmp_path, **ADDRESS))
    assert "the cluster" not in dry_run(prepared(tmp_path, **ADDRESS, gpus_per_slot=1))


@pytest.mark.parametrize(("n_gpus", "device"), [(2, "cuda"), (0, "cpu")])
def test_a_cluster_is_asked_what_its_stages_would_compute_on(tmp_path: Path, monkeypatch, n_gpus, device) -> None:
    left = []
    cluster = Cluster("a cluster", (Machine(4, n_gpus),), (), 4, elastic=True)
    monkeypatch.setattr(connection, "connect", lambda address, **_: cluster)
    monkeypatch.setattr(connection, "disconnect", lambda: left.append(True))
    planned = []
    monkeypatch.setattr(Prepared, "plan", noting_device(Prepared.plan, planned))
    output = dry_run(prepared(tmp_path, n_trials=8, **ADDRESS))
    assert planned[-1] == device
    assert ("stages run on cores alone" in output) == (device == "cpu")
    assert ("planned for cuda, as the cluster is now: a cluster" in output) == (device == "cuda")
    assert left == [True]


def noting_device(plan: Any, devices: list[str]) -> Any:
    def noted(of: Prepared, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
        devices.append(device)
        return plan(of, config, device=device)

    return noted


def test_of_a_study_that_was_begun_the_rest_is_shown(tmp_path: Path) -> None:
    of = prepared(tmp_path, n_trials=8)
    assert wanted(dry_run(of), "evaluate") == 8
    study = study_of(of)
    run_some(study, 3)
    output = dry_run(of)
    assert "3 are done; left are 1 of the arms, 2 to propose, up to 2 to compute the best again" in output
    assert wanted(output, "evaluate") == 5
    run_some(study, 4)
    output = dry_run(of)
    assert "7 are done; left are 0 of the arms, 0 to propose, 1 to compute the best again" in output
    assert wanted(output, "evaluate") == 1
    assert "estimated" not in output, "the winner is known"
    run_some(study, 1)
    output = dry_run(of)
    assert "all 8 trials are done: nothing is left to run" in output
    assert "Stages" not in output
    asked = "the 4 trials that are asked for are done, and 4 more of a longer run: nothing is left to run"
    assert asked in dry_run(prepared(tmp_path, n_trials=4))
    longer = dry_run(prepared(tmp_path, n_trials=9))
    assert "6 are done; left are 0 of the arms, 1 to propose, up to 2 to compute the best again" in longer


def test_what_is_done_and_left_is_what_the_study_counts_also_where_a_winner_was_displaced(tmp_path: Path) -> None:
    run_some(study_of(prepared(tmp_path, n_trials=8)), 8)
    longer = prepared(tmp_path, n_trials=10)
    study = study_of(longer)
    for n_more in (0, 2, 1, 1):
        run_some(study, n_more)
        results = read_results(longer.options.storage_url, "s")
        rest = remaining_trials(longer.planned, results)
        assert (rest.n_done, rest.n_left) == (study.n_finished, study.n_left)
    assert (rest.n_done, len(results.trials)) == (10, 12)


def test_the_left_repeats_are_the_ones_that_are_planned(tmp_path: Path) -> None:
    of = prepared(tmp_path, n_trials=8)
    study = study_of(of)
    run_some(study, 6)
    first, second = study.ask(), study.ask()
    assert first is not None
    assert second is not None
    study.complete(second.number, 0.5)
    seeds = []

    class Watched(Prepared):
        def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
            seeds.append(config.seed)
            return super().plan(config, device=device)

    dry_run(Watched(**{field.name: getattr(of, field.name) for field in dataclasses.fields(Prepared)}))
    assert seeds == [first.planned.seed]


def test_images_network_and_length_of_the_pretraining_are_said(tmp_path: Path) -> None:
    shown = dry_run(prepared(tmp_path))
    assert re.search(r"digits: \d+ training, \d+ validation and \d+ test images of 1×16×16, 10 classes; ", shown)
    assert "; resnet-8, 2 epochs of pretraining\n" in shown


def test_a_study_of_another_space_is_refused_as_the_run_would(tmp_path: Path, capsys) -> None:
    of = prepared(tmp_path, n_trials=8)
    study_of(of)
    other = dataclasses.replace(SPACE, base=TINY.with_settings({"pretrain.epochs": 3}))
    with pytest.raises(InputError, match=r"study 's' exists with another space .*; pretrain.epochs 2 before, 3 now"):
        dry_run(prepared(tmp_path, other))
    path = tmp_path / "space.json"
    path.write_text(json.dumps(other.to_json()))
    words = ["--home", str(tmp_path / "home"), "--study", "s", "--space", str(path), "--dry-run"]
    assert command_line(words) == 2
    assert "exists with another space" in capsys.readouterr().err


def test_the_dry_run_changes_nothing(tmp_path: Path) -> None:
    of = prepared(tmp_path, n_trials=8)
    run_some(study_of(of), 3)
    (tmp_path / "home" / "other.db").write_bytes(b"")

    def content() -> tuple[set[str], list[str]]:
        """Return the files, without SQLite's log, and what the study's database holds."""
        with contextlib.closing(sqlite3.connect(tmp_path / "home" / "optuna.db")) as database:
            names = {path.name for path in (tmp_path / "home").rglob("*") if not path.name.endswith(("-wal", "-shm"))}
            return names, list(database.iterdump())

    before = content()
    dry_run(of)
    dry_run(prepared(tmp_path, n_trials=8, storage=f"sqlite:///{tmp_path}/home/none.db"))
    dry_run(prepared(tmp_path, n_trials=8, storage=f"sqlite:///{tmp_path}/home/other.db"))
    assert content() == before


def test_values_are_shown_as_they_are_typed(tmp_path):
    axes = (
        Choice("push_pull.learn_alpha", (None, "kernel"), when={"push_pull.where": "first"}),
        Choice("push_pull.alpha", (0.5, 1.5), when={"push_pull.where": "first", "push_pull.learn_alpha": None}),
        Choice("finetune.across_layers", (True, False), when={"push_pull.where": "first"}),
    )
    base = SPACE.base.with_settings({"push_pull.where": "first", "finetune.which": "most"})
    shown = dry_run(prepared(tmp_path, Space("typed", "None?", base, axes), n_trials=4))
    assert "push_pull.learn_alpha: none, kernel" in shown
    assert "push_pull.learn_alpha=none" in shown
    assert "finetune.across_layers: true, false" in shown


def test_a_study_whose_events_wait_for_another_tracker_is_refused(tmp_path: Path) -> None:
    Spool(spool_path(tmp_path / "home", "s")).append({"event": "start"})
    prepared(tmp_path)
    bring_module("my_tracker")
    with pytest.raises(
        InputError, match=r"^1 events of study s wait for tracker 'mlflow'.* --tracker csv: write them first"
    ):
        prepared(tmp_path, tracker="csv")


UNTUNED = TINY.with_settings({"finetune.which": "none"})
BASE_ARM, IDLE = Arm("base", {}), {"rank.distance": "cosine"}


@pytest.mark.parametrize(
    "arms",
    [
        (BASE_ARM, Arm("cosine", IDLE)),
        (Arm("base", {}, control=True), Arm("cosine", IDLE)),
        (Arm("other", {"push_pull.where": "first"}), BASE_ARM, Arm("cosine", {"push_pull.h": 1.5, **IDLE})),
    ],
)
def test_arms_that_come_to_the_same_numbers_are_refused_by_name(tmp_path: Path, arms) -> None:
    space = Space("idle", base=UNTUNED, arms=arms, n_seeds=2)
    with pytest.raises(
        InputError,
        match=r"^arms 'base' and 'cosine' of space 'idle' come to the same numbers: .*rank.dist",
    ):
        prepared(tmp_path, space)


@pytest.mark.parametrize(
    "arms",
    [
        (BASE_ARM, Arm("placebo", IDLE, control=True)),
        (BASE_ARM, Arm("tuned", {"finetune.which": "most", **IDLE})),
        (BASE_ARM, Arm("push-pull", {"push_pull.where": "first"})),
    ],
)
def test_a_placebo_and_an_arm_that_differs_somewhere_are_taken(tmp_path: Path, arms) -> None:
    assert len(prepared(tmp_path, Space("idle", base=UNTUNED, arms=arms, n_seeds=2)).space.arms) == 2


def test_of_arms_that_are_not_run_nothing_is_asked(tmp_path: Path) -> None:
    space = Space("idle", base=UNTUNED, arms=(BASE_ARM, Arm("cosine", IDLE)), n_seeds=2)
    prepared(tmp_path, space, n_trials=1)


def test_a_plan_of_many_arms_asks_each_for_its_digest_a_few_times(tmp_path, monkeypatch) -> None:
    """What is planned already is no reason to hash a configuration once more: of hundreds of arms that took minutes."""
    arms = tuple(Arm(f"rate {n}", {"pretrain.learning_rate": n / 1000}) for n in range(1, 41))
    asked = []
    digest = TrialConfig.digest.fget
    monkeypatch.setattr(TrialConfig, "digest", property(lambda config: asked.append(config) or digest(config)))
    prepared(tmp_path, dataclasses.replace(SPACE, arms=arms, axes=(), n_seeds=1), n_trials=len(arms))
    assert len(asked) < 8 * len(arms)
