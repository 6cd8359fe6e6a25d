import dataclasses
from pathlib import Path

import pytest
import torch

from engine.settings import DataSettings, ModelSettings, TrialConfig
from engine.stages import StageSpec, data_getter, plan_trial, prepare_data, run_stage
from engine.stages.families import longest_prefix
from engine.stages.prefix import family_of, is_prefix, would_have_stopped
from engine.store import Store

DEVICE = torch.device("cpu")
BASE = TrialConfig(
    data=DataSettings(n_train=60, n_validation=40, n_test=20), model=ModelSettings(name="resnet-8", width=2)
).with_settings({"pretrain.schedule": "constant", "pretrain.batch_size": 20})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_data(BASE.data, Store(tmp_path_factory.mktemp("data")))[0]


def pretraining(data, **settings) -> StageSpec:
    config = BASE.with_settings({f"pretrain.{name}": value for name, value in settings.items()})
    return plan_trial(config, data).stages[0]


def test_trainings_that_differ_in_length_are_one_family(data) -> None:
    assert family_of(pretraining(data, epochs=2)) == family_of(pretraining(data, epochs=9, patience=3))
    assert family_of(pretraining(data, epochs=2)) != family_of(pretraining(data, epochs=2, batch_size=30))
    other_seed = dataclasses.replace(pretraining(data, epochs=2), seed=1)
    assert family_of(other_seed) != family_of(pretraining(data, epochs=2))


@pytest.mark.parametrize(
    ("shorter", "longer", "expected"),
    [
        ({"epochs": 2}, {"epochs": 4}, True),
        ({"epochs": 4}, {"epochs": 4}, False),
        ({"epochs": 4}, {"epochs": 2}, False),
        ({"epochs": 2, "learning_rate": 0.1}, {"epochs": 4}, False),
        ({"epochs": 2, "schedule": "one-cycle"}, {"epochs": 4, "schedule": "one-cycle"}, False),
        # milestones after 5 of 10 and after 5 of 20 epochs: the same rates for the first 10
        (
            {"epochs": 10, "schedule": "step", "milestones": [0.5]},
            {"epochs": 20, "schedule": "step", "milestones": [0.25]},
            True,
        ),
        (
            {"epochs": 10, "schedule": "step", "milestones": [0.5]},
            {"epochs": 20, "schedule": "step", "milestones": [0.5]},
            False,
        ),
        # the longer one's first milestone comes after the shorter one's end
        ({"epochs": 4}, {"epochs": 10, "schedule": "step", "milestones": [0.5]}, True),
        ({"epochs": 2, "weight_decay": 0.1}, {"epochs": 4}, False),
    ],
)
def test_is_prefix(data, shorter, longer, expected) -> None:
    assert is_prefix(pretraining(data, **shorter), pretraining(data, **longer)) is expected


def history(*errors: float) -> list[dict[str, float]]:
    return [{"epoch": number + 1, "validation_error": error} for number, error in enumerate(errors)]


@pytest.mark.parametrize(
    ("errors", "patience", "stopped"),
    [
        ((0.5, 0.4, 0.4, 0.4), 2, False),  # two epochs without better ones are complete with the last epoch only
        ((0.5, 0.4, 0.4, 0.4, 0.4), 2, True),
        ((0.5, 0.4, 0.3, 0.2), 1, False),
        ((0.5, 0.5, 0.4), 1, True),
        ((0.5, 0.5, 0.5), None, False),
    ],
)
def test_would_have_stopped(errors, patience, stopped) -> None:
    assert would_have_stopped(history(*errors), patience) is stopped


def run(spec: StageSpec, folder: Path, epochs: list[int] | None = None):
    store = Store(folder)
    info, _ = prepare_data(BASE.data, store)

    def report(record) -> bool:
        if epochs is not None:
            epochs.append(record["epoch"])
        return True

    return run_stage(spec, store, data_getter(info, store, DEVICE), device=DEVICE, report=report)


def without_seconds(records) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def test_a_longer_training_goes_on_from_a_stored_shorter_one_bit_for_bit(data, tmp_path: Path) -> None:
    short, long = pretraining(data, epochs=2), pretraining(data, epochs=4)
    begun = run(short, tmp_path / "warm")
    epochs: list[int] = []
    warm = run(long, tmp_path / "warm", epochs)
    cold = run(long, tmp_path / "cold")
    assert epochs == [1, 2, 3, 4], "who follows the stage hears of every epoch"
    assert warm.history[:2] == begun.history, "the first two epochs were not computed again"
    assert without_seconds(warm.history) == without_seconds(cold.history)
    for name in ("model", "last"):
        expected, found = cold.tensors(name), warm.tensors(name)
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert warm.json("result") == cold.json("result")


def test_the_longest_prefix_is_taken_and_what_was_cleaned_up_is_passed_over(data, tmp_path: Path) -> None:
    run(pretraining(data, epochs=1), tmp_path)
    two = run(pretraining(data, epochs=2), tmp_path)
    store, long = Store(tmp_path), pretraining(data, epochs=4)
    found = longest_prefix(store, long)
    assert found is not None
    assert found.manifest["key"] == two.manifest["key"]
    store.remove(two.manifest["key"])
    found = longest_prefix(store, long)
    assert found is not None
    assert len(found.history) == 1
    assert longest_prefix(store, pretraining(data, epochs=4, batch_size=30)) is None


def test_a_corrupt_prefix_is_put_aside_and_the_training_starts_cold(data, tmp_path: Path) -> None:
    short = run(pretraining(data, epochs=2), tmp_path)
    (short.folder / "last.safetensors").write_bytes(b"damaged")
    whole = run(pretraining(data, epochs=3), tmp_path)
    assert whole.history[:2] != short.history
    assert len(whole.history) == 3
    assert Store(tmp_path).find(short.manifest["key"]) is None
