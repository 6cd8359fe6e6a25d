"""The benchmarks of single trainings in their smallest form, and that they do not compare what is not the same."""

import json
import re

import pytest
import torch

from benchmarks import device_check, evaluation, training
from engine.data import apply_crop_flips
from tests.engine.pretend_device import DEVICE, pretend_device


@pytest.fixture(autouse=True)
def threads():
    """Leave the process with the threads it had."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_training_compares_the_best_of_the_usual_loops_with_the_engine(capsys):
    few = ["--steps", "1", "--batch-size", "8", "--threads", "1", "--workers", "0", "--rounds", "1"]
    training.main([*few, "--networks", "resnet-20"])
    printed = capsys.readouterr().out
    best = "[0-9.]+ of the engine's time, [0-9.]+ of its processor's"
    assert re.search(rf"best: {best} \(DataLoader, 0 workers\)", printed)
    assert re.search(rf"best, channels last: {best} \(DataLoader, 0 workers, channels last\)", printed)


def test_training_compares_no_loops_that_crop_otherwise(monkeypatch):
    monkeypatch.setattr(training, "apply_crop_flips", lambda images, draws: apply_crop_flips(images, draws).roll(1, 3))
    with pytest.raises(SystemExit, match="the loops crop and flip otherwise"):
        training.check_equal("resnet-20", training.make_split(32))


def test_evaluation_compares_ready_and_made_sets(capsys):
    evaluation.main(["--images", "4", "--made-images", "2", "--threads", "1", "--workers", "0", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert len(re.findall(r"best: [0-9.]+ of the engine's time, [0-9.]+ .* \(DataLoader, 0 workers\)", printed)) == 2


def test_evaluation_compares_no_ways_that_come_to_other_logits(monkeypatch):
    monkeypatch.setattr(evaluation, "logits_of", lambda network, loader: evaluation.predict(network, RAMP))
    network = training.make_network("resnet-20", depth=8)
    with pytest.raises(SystemExit, match="the ways come to other logits: they differ by"):
        evaluation.check_equal(network, [training.make_split(4)])


RAMP = torch.arange(4 * 3 * 32 * 32).reshape(4, 3, 32, 32).to(torch.uint8)


def test_a_device_is_checked_on_a_cpu_and_what_was_found_is_written(tmp_path, capsys):
    assert device_check.main(["--smoke", "--out", str(tmp_path / "found.json")]) == 0
    written = json.loads((tmp_path / "found.json").read_text())
    assert list(written["found"]) == list(device_check.PARTS)
    assert written["faults"] == []
    assert "all agrees" in capsys.readouterr().out


def test_a_device_that_computes_otherwise_is_said_to(monkeypatch, capsys):
    with pretend_device():
        check = device_check.Check(DEVICE, smoke=True)
        check.run("corruptions", device_check.corruptions)
        check.run("losses", device_check.losses)
        assert check.faults == []
        real = device_check.corrupt
        shifted = lambda images, *given, **others: real(images, *given, **others) + 2 * (images.device != DEVICE)  # noqa: E731
        monkeypatch.setattr(device_check, "corrupt", shifted)
        check.run("corruptions", device_check.corruptions)
        check.run("broken", lambda check: 1 / 0)
    assert any("levels by which gaussian_noise's bytes differ" in fault for fault in check.faults)
    assert check.faults[-1] == "broken failed: ZeroDivisionError: division by zero"
    assert "Traceback" in capsys.readouterr().err, "where a part failed is told while there is a device to look at"
