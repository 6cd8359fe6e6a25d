"""Corrupted sets that are kept on a machine: the same errors as without, and another set wherever bytes are others."""

import pytest
import torch

from engine.corruptions import register_severity_table
from engine.corruptions.apply import CORRUPTION_REGISTRY
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.corruptions.tables import SEVERITY_TABLES
from engine.data.machine_sets import machine_sets
from engine.metrics import corrupted_split, table
from engine.stages import probe
from engine.stages.corrupted_sets import corrupted_set, distorted_set
from engine.stages.prepared import data_from_store
from tests.engine.pretend_device import DEVICE, on_host, pretend_device
from tests.engine.stages.conftest import Workshop
from tests.registered import taken_back

CELL = ("gaussian_noise", 3)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Have sets kept; return what lists the files."""
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ROBUSTUNE_SETS_GB", "1")
    return lambda: {path.name for path in (tmp_path / "cache" / "sets" / "kept").iterdir()}


def errors_of(workshop: Workshop, **settings) -> dict:
    """Return all errors that a trial tells, those of its probes included."""
    outcomes = workshop.run(workshop.plan(evaluate__n_probe=20, **settings))
    told = [record.get("probe_error") for outcome in outcomes for record in outcome.artifact.history]
    return {**outcomes[-1].artifact.json("errors"), "probe": told}


def test_errors_are_the_same_and_the_next_trial_makes_no_set(tmp_path, kept, monkeypatch):
    with pytest.MonkeyPatch.context() as off:
        off.setenv("ROBUSTUNE_SETS_GB", "0")
        without = errors_of(Workshop(tmp_path / "without"))
    workshop = Workshop(tmp_path / "with")
    assert errors_of(workshop) == without
    n_files, n_cells = len(kept()), sum(len(without[part]["corrupted"]) for part in ("validation", "test"))
    assert n_files == 3 + n_cells + 3, "splits, cells, what was tuned on of the test images and of the probe, the probe"

    def refuse(*given, **others):
        raise AssertionError("it is there already")

    monkeypatch.setattr(table, "corrupt", refuse)
    monkeypatch.setattr(probe, "corrupt", refuse)
    monkeypatch.setattr("engine.stages.corrupted_sets.distorted", refuse)
    assert errors_of(workshop, model__width=5) != without
    assert len(kept()) == n_files


def test_splits_are_those_of_the_store_s_images(workshop, kept):
    workshop.plan()
    for sets in (machine_sets(), machine_sets(), None):
        data = data_from_store(workshop.info, workshop.store, sets)
        for part in ("train", "validation", "test"):
            found, expected = getattr(data, part), getattr(workshop.data, part)
            for name in ("images", "labels", "indices"):
                assert torch.equal(getattr(found, name), getattr(expected, name))
            assert found.origin is not None
    assert len(kept()) == 3


def test_what_gives_other_bytes_is_another_set(workshop, kept, monkeypatch):
    workshop.plan()
    data = data_from_store(workshop.info, workshop.store)
    constants = {"gaussian_noise": (0.1, 0.2, 0.3, 0.4, 0.5)}
    with taken_back():
        register_severity_table("mine", constants)
        sets = [
            lambda: corrupted_set(data.test, CELL, seed=0, table="digits"),
            lambda: corrupted_set(data.test, CELL, seed=1, table="digits"),
            lambda: corrupted_set(data.test, CELL, seed=0, table="cifar-c"),
            lambda: corrupted_set(data.test, CELL, seed=0, table="mine"),
            lambda: corrupted_set(data.test, ("gaussian_noise", 4), seed=0, table="digits"),
            lambda: corrupted_set(data.test, ("contrast", 3), seed=0, table="digits"),
            lambda: corrupted_set(data.validation, CELL, seed=0, table="digits"),
            lambda: distorted_set(data.test, {"name": "awgn", "level": 5}, seed=0),
            lambda: distorted_set(data.test, {"name": "awgn", "level": 5.5}, seed=0),
            lambda: distorted_set(data.test, {"name": "awgn", "level": 5}, seed=1),
        ]
        for n_files, make in enumerate(sets, 1):
            assert torch.equal(make().images, make().images)
            assert len(kept()) == n_files
        SEVERITY_TABLES["mine"]["gaussian_noise"] = (0.5, 0.4, 0.2, 0.2, 0.1)
        sets[3]()
        assert len(kept()) == len(sets) + 1, "a user's table of the same name"
    monkeypatch.setattr(CORRUPTION_REGISTRY, "_sources", {**CORRUPTION_REGISTRY._sources, "contrast": "edited"})
    monkeypatch.setattr(DISTORTION_REGISTRY, "_sources", {**DISTORTION_REGISTRY._sources, "awgn": "edited"})
    sets[5](), sets[7]()
    assert len(kept()) == len(sets) + 3, "a user's code that was edited"
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        sets[0]()
    finally:
        torch.set_num_threads(threads)
    assert len(kept()) == len(sets) + 4


def test_images_that_nobody_can_name_are_not_kept(workshop, kept):
    workshop.plan()
    assert workshop.data.test.origin is None
    some = data_from_store(workshop.info, workshop.store).test.take(torch.arange(5))
    for split in (workshop.data.test, some):
        corrupted_set(split, CELL, seed=0, table="digits")
    machine_sets()
    assert kept() == set()


def test_a_gpu_keeps_its_sets_itself(workshop, kept, monkeypatch):
    monkeypatch.setattr("engine.data.device_sets._of_device", {})
    workshop.plan()
    expected = corrupted_split(workshop.data.test, CELL, seed=0, table="digits").images
    with pretend_device():
        test = data_from_store(workshop.info, workshop.store).to(DEVICE).test
        made = corrupted_set(test, CELL, seed=0, table="digits").images
        monkeypatch.setattr(table, "corrupt", lambda *given, **others: pytest.fail("it is there already"))
        assert corrupted_set(test, CELL, seed=0, table="digits").images is made
        assert torch.equal(on_host(made), expected)
    machine_sets()
    assert kept() == set()
