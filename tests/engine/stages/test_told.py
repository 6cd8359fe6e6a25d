"""What a stage of a user's tells while it runs, and what it ends with, is checked before others hear of it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import InputError, refused
from engine.metrics import Baseline
from engine.orchestration.tracking.trial_metrics import final_metrics, score_metrics
from engine.result_names import Metric
from engine.settings import TrainingSettings
from engine.stages import StageCancelledError, register_stage, train
from engine.stages.runner import StageExitError
from tests.registered import taken_back

NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def registry():
    with taken_back():
        yield


@dataclass(frozen=True)
class Few:
    """Settings of a test.

    Attributes:
        n: epochs, ≥ 0.
    """

    n: int = 3

    def __post_init__(self):
        if self.n < 0:
            raise refused("n", "≥ 0", self.n)


def run(workshop, function, *, report=None, name="mine", **about):
    """Run a trial in which a function is a stage; return what the stage has made."""
    place = {"version": 1, "follows": ("pretrain",), "precedes": ("evaluate",)}
    register_stage(name, **{**place, **about})(function)
    outcomes = workshop.run(workshop.plan(finetune__which="none"))
    return next(outcome.artifact for outcome in outcomes if outcome.spec.stage == name)


def told(workshop, *records, **about):
    def tell(context) -> None:
        for record in records:
            context.end_epoch(record)

    return run(workshop, tell, **{"settings": Few, "epochs": "mine.n", **about}).history


def good(epoch: object, **others: object) -> dict[str, object]:
    return {"epoch": epoch, "probe_error": 0.5, **others}


def test_what_the_engine_calls_its_metrics_is_no_stage_s_name(workshop):
    outcomes = workshop.run(workshop.plan())
    errors = outcomes[-1].artifact.json("errors")
    baseline = Baseline("made up", {row["corruption"]: 0.5 for row in errors["test"]["corrupted"]}, 0.25)
    metrics = {**final_metrics(errors), **score_metrics(errors, baseline)}
    metrics |= dict.fromkeys(Metric.of_epoch(key, own_watch=own) for key in Metric.BY_EPOCH for own in (True, False))
    first = {name.partition("/")[0] for name in metrics} | {"stages", "best_objective"}
    assert first >= {"test", "severity", "score", "train", "validation", "probe", "other_probe", "objective"}
    for name in sorted(first):
        with pytest.raises(InputError, match=f"a stage cannot be called '{name}': the engine has that name"):
            register_stage(name, version=1)
    with pytest.raises(InputError, match="a stage cannot be called 'Test'"):
        register_stage("Test", version=1)


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([good(1), good(2, loss=NAN)], "'loss' of stage 'mine' in epoch 2 must be a finite number, got nan"),
        (
            [{"epoch": 1, "probe_error": INF}],
            "'probe_error' of stage 'mine' in epoch 1 must .*, got inf",
        ),
        ([good(1, metrics={"q": NAN})], "metric 'q' of stage 'mine' in epoch 1 must be a finite number, got nan"),
        ([good(1, metrics={"q": torch.tensor(NAN)})], "metric 'q' of stage 'mine' in epoch 1 .* got nan"),
        ([good(1, metrics={"q": "bad"})], "metric 'q' of stage 'mine' in epoch 1 must be a finite number, got 'bad'"),
        ([good(1, metrics={"q": True})], "metric 'q' of stage 'mine' in epoch 1 must be a finite number, got True"),
        ([good(1, metrics={"q": torch.zeros(2)})], "metric 'q' of stage 'mine' in epoch 1 must be a finite number"),
        ([good(1, metrics={"q": 10**400})], "metric 'q' of stage 'mine' in epoch 1 must be a finite number"),
        ([good(1, metrics={"a b%": 1.0})], "a metric's name has letters, .*, got 'a b%' of stage 'mine' in epoch 1"),
        ([good(1, metrics={3: 1.0})], "a metric's name has letters, .*, got 3 of stage 'mine'"),
        ([good(1, metrics=[1.0])], r"metrics of stage 'mine' in epoch 1 must be \{name: number\}, got \[1.0\]"),
        ([{"epok": 1}], "may have the fields epoch, loss, .*, got 'epok'; numbers of its own stand under 'metrics'"),
        ([good(1, watch="x")], "may have the fields .*, got 'watch'"),
        ([{"probe_error": 0.5}], "the next 'epoch' that stage 'mine' tells must be 1, got None"),
        ([good(3)], "the next 'epoch' that stage 'mine' tells must be 1, got 3"),
        ([good(1), good(1)], "the next 'epoch' that stage 'mine' tells must be 2, got 1"),
        ([good(1.0)], "the next 'epoch' that stage 'mine' tells must be 1, got 1.0"),
        ([good(True)], "the next 'epoch' that stage 'mine' tells must be 1, got True"),
        ([[1, 0.5]], r"what stage 'mine' tells of its epoch must be \{field: value\}, got \[1, 0.5\]"),
        (
            [{"epoch": 1, "loss": 0.5}],
            "must tell 'probe_error' in epoch 1, by which .* got 'epoch', 'loss'",
        ),
        ([good(1), good(2), good(3), good(4)], "stage 'mine' tells at most 3 epochs .*, got epoch 4"),
    ],
)
def test_what_is_no_epoch_s_record_fails_the_stage_with_a_sentence(workshop, records, sentence):
    with pytest.raises(InputError, match=sentence):
        told(workshop, *records)


def test_epochs_of_a_stage_that_says_it_has_none_are_refused(workshop):
    with pytest.raises(InputError, match="stage 'mine' tells epochs, but its `epochs` names no setting"):
        told(workshop, good(1), epochs=None)


def test_numbers_of_numpy_and_torch_become_plain_ones(workshop):
    record = {
        "epoch": np.int64(1),
        "probe_error": torch.tensor(0.5),
        "loss": np.float32(0.25),
        "metrics": {"a": np.array(2), "b": torch.tensor(3), "c": 4},
    }
    (found,) = told(workshop, record)
    assert found.pop("watch")
    assert found == {"epoch": 1, "probe_error": 0.5, "loss": 0.25, "metrics": {"a": 2.0, "b": 3.0, "c": 4.0}}
    numbers = [found["probe_error"], found["loss"], *found["metrics"].values()]
    assert [type(number) for number in numbers] == [float] * 5


def test_a_stage_that_goes_on_counts_on(workshop):
    stopped = []

    def tell(context) -> None:
        found = context.load_checkpoint()
        first = 1 if found is None else found[1]["epoch"] + 1
        if found is not None:
            with pytest.raises(InputError, match="the next 'epoch' that stage 'mine' tells must be 3, got 1"):
                context.end_epoch(good(1))
        for epoch in range(first, 4):
            context.end_epoch(good(epoch), ({"x": torch.zeros(1)}, {"epoch": epoch}))
            if found is None and epoch == 2:
                stopped.append(epoch)
                raise StageCancelledError("stopped")

    with pytest.raises(StageCancelledError):
        run(workshop, tell, settings=Few, epochs="mine.n")
    done = workshop.run(workshop.plan(finetune__which="none"))
    assert stopped == [2]
    assert [record["epoch"] for record in done[1].artifact.history] == [1, 2, 3]


def test_what_a_judge_of_a_user_s_own_measures_beside_errors_is_a_metric(workshop):
    def tell(context) -> None:
        def judge(network):
            return {"validation_error": 0.5, "probe_error": 0.5, "agreement": 0.75}

        settings = {"epochs": 1, "batch_size": 50}
        train(context, context.network(), context.data.train, settings, judge)

    (record,) = run(workshop, tell, settings=TrainingSettings, epochs="mine.epochs").history
    assert record["metrics"] == {"agreement": 0.75}
    assert "agreement" not in record


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"batch": 2}, "the next 'batch' that stage 'mine' tells must be 1, got 2"),
        ({"batch": 1, "epoch": 1}, "may have the fields batch, first, cells, got 'epoch'"),
        ({"batch": 1, "first": 0, "cells": []}, "'first' of stage 'mine' in batch 1 must be .*, got 0"),
        ({"batch": 1, "first": 1, "cells": 3}, "'cells' of stage 'mine' in batch 1 must be a list of cells, got 3"),
        ({"batch": 1, "first": 1, "cells": [{"error": 0.5}]}, "a cell of stage 'mine' in batch 1 must have"),
        (
            {"batch": 1, "first": 1, "cells": [{"corruption": "fog", "severity": 1, "error": NAN}]},
            "an 'error' of stage 'mine' in batch 1 must be a finite number, got nan",
        ),
    ],
)
def test_what_is_no_record_of_cells_fails_the_stage_with_a_sentence(workshop, record, sentence):
    with pytest.raises(InputError, match=sentence):
        run(workshop, lambda context: context.tell(record))


@pytest.mark.parametrize(
    "metrics",
    [{"a": "much"}, {"a": NAN}, {"a": True}, {"a b": 1.0}, {3: 1.0}, {"": 1.0}, {"..": 1.0}, {"x" * 161: 1.0}],
)
def test_what_is_no_metric_is_refused(workshop, metrics):
    with pytest.raises(InputError, match="metric"):
        run(workshop, lambda context: context.write_metrics(metrics))


def test_metrics_of_several_calls_are_put_together_each_once(workshop):
    def measure(context) -> None:
        context.write_metrics({"x": 1.0})
        context.write_metrics({"y": torch.tensor(2.0)})
        with pytest.raises(InputError, match="metric 'x' of stage 'mine' must be written once, got it again"):
            context.write_metrics({"z": 3.0, "x": 1.0})

    assert run(workshop, measure).json("metrics") == {"x": 1.0, "y": 2.0}


def test_a_stage_that_gives_a_network_must_write_one(workshop):
    with pytest.raises(InputError, match="stage 'mine' says `gives_network`, but wrote none"):
        run(workshop, lambda context: context.write_metrics({"x": 1.0}), gives_network=True)


def test_a_network_of_a_stage_that_gives_none_is_refused(workshop):
    with pytest.raises(InputError, match="stage 'mine' writes a network, but is not registered with"):
        run(workshop, lambda context: context.write_network(context.network()))


def wider(context):
    network = context.network()
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    head.weight = nn.Parameter(torch.zeros(3, head.in_features))
    return network


def more(context):
    network = context.network()
    network.extra = nn.Linear(2, 2)
    return network


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda context: nn.Linear(3, 4), "stage 'mine' writes a network that is not the trial's: it has no '"),
        (wider, r"stage 'mine' .* not the trial's: '.*weight' must be of shape \(10, \d+\), got \(3, \d+\)"),
        (more, "stage 'mine' .* not the trial's: the trial's has no 'extra.weight'"),
        (lambda context: "network", "stage 'mine' must write a torch.nn.Module as its network, got 'network'"),
    ],
)
def test_another_network_than_the_trial_s_is_refused(workshop, make, sentence):
    with pytest.raises(InputError, match=sentence):
        run(workshop, lambda context: context.write_network(make(context)), gives_network=True)


def test_changes_of_no_network_are_refused(workshop):
    with pytest.raises(InputError, match=r"stage 'mine' writes what it changed of a network, but reads none"):
        run(workshop, lambda context: context.write_network(nn.Linear(1, 1)), gives_network=True, reads=())


def test_who_wants_to_end_the_process_fails_the_stage_alone(workshop):
    def leave(context) -> None:
        raise SystemExit(3)

    with pytest.raises(StageExitError, match=r"stage 'mine' raised SystemExit\(3\)"):
        run(workshop, leave)


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_whatever_stage_it_is_at(workshop, signalled):
    def ends(number, frame) -> None:
        raise SystemExit(1)

    def wait(context) -> None:
        os.kill(os.getpid(), signalled)
        torch.zeros(1).sum()

    handlers = {
        signal.SIGTERM: ends,
        signal.SIGINT: signal.default_int_handler,
    }  # else a script's may be ignored
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        with pytest.raises(SystemExit if signalled == signal.SIGTERM else KeyboardInterrupt):
            run(workshop, wait)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
