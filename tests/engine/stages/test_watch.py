"""What is only watched: it changes no file of an artifact, and every record says whose probe it was measured on."""

import pytest

from engine.stages import StageCancelledError, StageSpec, run_stage
from engine.stages.probe import make_probe

OTHER = {"evaluate__severities": [3], "evaluate__objective": ["contrast"], "evaluate__n_probe": 30}
TRAININGS = ("pretrain", "finetune")


def specs_of(workshop, **settings) -> dict[str, StageSpec]:
    return {spec.stage: spec for spec in workshop.plan(**settings)}


def watched(history) -> list[tuple[str, float]]:
    return [(record["watch"], record["probe_error"]) for record in history]


def judged(history) -> list[tuple[float, float, float]]:
    return [(record["loss"], record["validation_error"], record["validation_loss"]) for record in history]


@pytest.mark.parametrize("method", ["filters", "retrain"])
def test_another_probe_finds_every_training_in_the_store(workshop, method):
    settings = {"finetune__method": method}
    workshop.run(workshop.plan(**settings))
    outcomes = workshop.run(workshop.plan(**settings, **OTHER))
    assert [outcome.from_store for outcome in outcomes] == [True] * (len(outcomes) - 1) + [False]


def test_another_probe_changes_no_file_but_the_watched_values(workshop, tmp_path):
    there = type(workshop)(tmp_path / "there")
    usual = {outcome.spec.stage: outcome for outcome in workshop.run(workshop.plan())}
    others = {outcome.spec.stage: outcome for outcome in there.run(there.plan(**OTHER))}
    for stage in TRAININGS:
        mine, theirs = usual[stage].artifact, others[stage].artifact
        assert mine.manifest["files"] == theirs.manifest["files"]
        assert judged(mine.history) == judged(theirs.history)
        for outcome in (usual[stage], others[stage]):
            assert {whose for whose, _ in watched(outcome.artifact.history)} == {outcome.spec.watch_digest}
        assert watched(mine.history) != watched(theirs.history)


@pytest.mark.parametrize("stage", TRAININGS)
def test_a_training_that_goes_on_with_another_probe_says_which_epochs_are_whose(workshop, tmp_path, stage):
    epochs = {"pretrain__epochs": 3, "finetune__training__epochs": 3}
    undisturbed = {outcome.spec.stage: outcome.artifact for outcome in workshop.run(workshop.plan(**epochs, **OTHER))}
    there = type(workshop)(tmp_path / "there")
    first, then = specs_of(there, **epochs), specs_of(there, **epochs, **OTHER)
    assert first[stage].key == then[stage].key
    for before in list(first)[: list(first).index(stage)]:
        run_stage(first[before], there.store, there.getter(), device=there.device)
    with pytest.raises(StageCancelledError):
        run_stage(first[stage], there.store, there.getter(), device=there.device, report=lambda record: False)
    heard = []
    artifact = run_stage(
        then[stage],
        there.store,
        there.getter(),
        device=there.device,
        report=lambda record: heard.append(record) or True,
    )
    assert heard == artifact.history, "who follows hears of the other's epochs too"
    mine, theirs = then[stage].watch_digest, first[stage].watch_digest
    assert [whose for whose, _ in watched(artifact.history)] == [theirs, mine, mine]
    assert judged(artifact.history) == judged(undisturbed[stage].history)
    assert watched(artifact.history)[1:] == watched(undisturbed[stage].history)[1:]
    assert artifact.manifest["files"] == undisturbed[stage].manifest["files"]


def test_a_longer_training_keeps_the_probe_of_the_shorter_one_on_its_epochs(workshop):
    constant = {"pretrain__schedule": "constant"}
    short = specs_of(workshop, pretrain__epochs=2, **constant)["pretrain"]
    long = specs_of(workshop, pretrain__epochs=3, **constant, **OTHER)["pretrain"]
    begun = run_stage(short, workshop.store, workshop.getter(), device=workshop.device)
    whole = run_stage(long, workshop.store, workshop.getter(), device=workshop.device)
    assert whole.history[:2] == begun.history
    assert [record["watch"] for record in whole.history] == [short.watch_digest] * 2 + [long.watch_digest]


def test_the_best_epoch_does_not_follow_the_probe(workshop, monkeypatch):
    """Two probes that would choose different epochs: the kept weights are the same."""
    results = []
    for course in ([0.1, 0.5, 0.9], [0.9, 0.5, 0.1]):
        left = list(course)
        monkeypatch.setattr("engine.stages.probe.classification_error", lambda *_, left=left: left.pop(0))
        spec = specs_of(workshop, pretrain__epochs=3)["pretrain"]
        results.append(run_stage(spec, workshop.store, workshop.getter(), device=workshop.device))
        workshop.store.remove(spec.key)
        assert [error for _, error in watched(results[-1].history)] == course
    assert results[0].manifest["files"] == results[1].manifest["files"]


def test_the_probe_s_images_are_those_of_its_settings(workshop):
    spec = specs_of(workshop, **OTHER)["pretrain"]
    probe = make_probe(workshop.data, spec.watch["probe"])
    assert len(probe) == spec.watch["probe"]["n_probe"] == 30
    assert spec.watch["probe"]["corruptions"] == ["contrast"]
    assert spec.watch["probe"]["severities"] == [3]
