"""The benchmarks of single trainings in their smallest form, and that they do not compare what is not the same."""

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
import torch

from benchmarks import device_check, evaluation, kept_sets, many, members, scale, training
from engine.data import apply_crop_flips
from engine.store import open_store
from tests.engine.pretend_device import DEVICE, on_device, pretend_device
from tests.engine.pretend_graph import pretend_graphs


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
    assert re.search(r"  engine: [0-9.]+ ms a step\n", printed)
    best = "[0-9.]+ of the engine's time, [0-9.]+ of its processor's"
    assert re.search(rf"best: {best} \(DataLoader, 0 workers\)", printed)
    assert re.search(rf"best, channels last: {best} \(DataLoader, 0 workers, channels last\)", printed)


def test_training_compares_no_loops_that_crop_otherwise(monkeypatch):
    monkeypatch.setattr(training, "apply_crop_flips", lambda images, draws: apply_crop_flips(images, draws).roll(1, 3))
    with pytest.raises(SystemExit, match="the loops crop and flip otherwise"):
        training.check_equal("resnet-20", training.make_split(32))


def test_stages_go_through_the_brokers_queue(capsys):
    asyncio.run(scale.measure_queue(3))
    assert re.search(r"a stage through the broker's queue: [0-9.]+ ms in the first 1, ", capsys.readouterr().out)


def test_evaluation_compares_ready_and_made_sets(capsys):
    small = ["--images", "4", "--made-images", "2", "--threads", "1", "--workers", "0", "--rounds", "1"]
    evaluation.main([*small, "--networks", "resnet-20-PP"])
    printed = capsys.readouterr().out
    assert re.search(r"resnet-20-PP, 21 normalisations folded.*\n.*\n +engine .*\n +engine, folded ", printed)
    assert len(re.findall(r"best: [0-9.]+ of the engine's time, [0-9.]+ .* \(DataLoader, 0 workers\)", printed)) == 2


def test_evaluation_compares_no_ways_that_come_to_other_logits(monkeypatch):
    monkeypatch.setattr(evaluation, "logits_of", lambda network, loader: evaluation.predict(network, RAMP))
    network = training.make_network("resnet-20", depth=8)
    with pytest.raises(SystemExit, match="the ways come to other logits: they differ by"):
        evaluation.check_equal(network, [training.make_split(4)])


def test_kept_sets_are_compared_with_sets_made_anew(capsys, monkeypatch):
    monkeypatch.setattr(kept_sets, "grown_in_processes", lambda n, given: [measured_here(*given)] * n)
    few = ["--images", "4", "--corruptions", "contrast", "--rounds", "1", "--workers", "2", "--train-images", "300"]
    kept_sets.main([*few, "--model", "cnn-2"])
    printed = capsys.readouterr().out
    assert re.search(r"same errors; a second trial's evaluation takes [0-9.]+ of the time with sets made anew", printed)
    grown = r"shared: -?\d+ MB more of its own each, -?\d+ MB more all together, -?[0-9.]+ of the images"
    assert len(re.findall(grown, printed)) == 2


def measured_here(store, info_json):
    """Return what a worker tells of its memory, which is this process."""
    told = []
    end = SimpleNamespace(send=told.append, recv=lambda: None)
    kept_sets.work(end, store, info_json)
    assert told[:-1] == ["ready", "loaded"]
    return told[-1]


RAMP = torch.arange(4 * 3 * 32 * 32).reshape(4, 3, 32, 32).to(torch.uint8)


def test_a_device_is_checked_on_a_cpu_and_what_was_found_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)  # its compiler takes a minute
    assert device_check.main(["--smoke", "--out", str(tmp_path / "found.json")]) == 0
    written = json.loads((tmp_path / "found.json").read_text())
    assert list(written["found"]) == list(device_check.PARTS)
    assert all(0 < trial["objective"] <= 1 for name, trial in written["found"]["trials"].items() if name != "seconds")
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


class OneSweep:
    """What the benchmark takes for a sweep: leaves two stages in the store, of 4 s and 2 s, the second 3 s later."""

    def __init__(self, prepared, console):
        self._home = prepared.home

    def run(self):
        store = open_store(self._home / "store")
        for number, (began, seconds) in enumerate(((100.0, 4.0), (103.0, 2.0))):
            with store.attempt(f"{number}a" * 16) as attempt:
                attempt.write_json("x", {})
                manifest = {"history": [], "spec": {"stage": "pretrain"}, "started_at": began, "seconds": seconds}
                store.publish(attempt, manifest)
        trials = [SimpleNamespace(slot="arm/alone/1", errors=[0.5])]
        return SimpleNamespace(with_state=lambda state: ["", ""], trials=trials)


def test_many_trials_are_timed_by_what_their_stages_say(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(many, "prepare", lambda options, space: asked.append(options) or options)
    monkeypatch.setattr(many, "Sweep", OneSweep)
    many.main(["--smoke", "--slots", "1", "2", "--rounds", "2"])
    assert [(one.slots, one.gpus_per_slot, one.n_trials, one.mps) for one in asked] == [
        (1, 0, 2, False),
        (2, 0, 2, False),
    ] * 2
    lines = capsys.readouterr().out.splitlines()
    assert "all ways came to the same errors" in lines
    assert [line.split() for line in lines[-2:]] == [
        ["1", "slot", "5.0", "1440", "1.00", "3.00"],
        ["2", "slots", "5.0", "1440", "1.00", "3.00"],
    ]


def test_many_leaves_out_what_would_take_too_long_and_compares_no_ways_that_differ(monkeypatch, capsys):
    works = iter([many.Work(5.0, 6.0, 1.0, {"a": 1}), many.Work(2.5, 6.0, 1_000.0, {"a": 2})])
    monkeypatch.setattr(many, "run", lambda *given, **others: next(works))
    with pytest.raises(SystemExit, match="the ways came to other errors"):
        many.main(["--slots", "1", "2", "4", "--budget", "100.5"])
    assert "4 slots: left out of round 1, 100.5 s would be over" in capsys.readouterr().out


def test_many_shares_no_fewer_trials_than_there_are_bare_processes(capsys):
    with pytest.raises(SystemExit):
        many.main(["--smoke", "--bare", "--slots", "1", "3"])
    assert "--bare shares 2 trials among 3 processes: each needs one" in capsys.readouterr().err


def test_many_runs_several_slots_with_and_without_mps():
    assert [str(way) for way in many.ways_of([1, 4], mps=True)] == ["1 slot", "4 slots", "4 slots, MPS"]


def test_members_are_trained_by_each_way_of_a_cpu(tmp_path, capsys):
    assert members.main(["--smoke", "--out", str(tmp_path / "found.json")]) == 0
    ways = ("tiny, alone", "tiny, 2 processes", "tiny, 2 stacked")
    assert tuple(json.loads((tmp_path / "found.json").read_text())["steps_per_s"]) == ways
    assert re.search(r"alone +[0-9.]+ +1\.00\n", capsys.readouterr().out)


class OnPretendDevice(members.Task):
    """Has its members on the pretend device."""

    on_gpu = True

    def network(self, member):
        return on_device(super().network(member))

    def batch(self, member):
        return tuple(on_device(tensor) for tensor in super().batch(member))


def test_members_have_a_graph_each_in_one_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    with pretend_device(), pretend_graphs() as graphs:
        assert members.of_graphs(OnPretendDevice("tiny", "cpu", "fp32", 1), 2) > 0
    assert [graph.n_replays for graph in graphs] == 2 * [members.N_CHECKED + 2]


def test_members_that_come_to_other_losses_are_no_way_to_share(monkeypatch, capsys):
    real = members.stacked_step

    def off(task, n):
        step = real(task, n)
        return lambda: step() * torch.tensor([1.0, 1.01])

    monkeypatch.setattr(members, "stacked_step", off)
    monkeypatch.setattr(members, "of_processes", lambda task, n: 1.0)
    assert members.main(["--smoke"]) == 1
    assert "FAULT tiny, 2 stacked: ValueError: member 1 of 2 comes to a loss of" in capsys.readouterr().out


def test_a_member_that_fails_ends_the_others_wait(monkeypatch):
    with pytest.raises(KeyError, match="nothing"):
        members.of_processes(members.Task("nothing", "cpu", "fp32", 1), 2)
