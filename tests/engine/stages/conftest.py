import pytest
import torch

from engine.data import DataInfo
from engine.settings import TrialConfig
from engine.stages import TrialPlan, data_getter, plan_trial, prepare_data, run_chain
from engine.store import Store
from tests.engine.made_up import DIGITS

TINY = {
    "data.n_train": 100,
    "data.n_validation": 60,
    "data.n_test": 60,
    "model.width": 4,
    "pretrain.epochs": 2,
    "pretrain.batch_size": 32,
    "push_pull.where": "first",
    "distortion.n_images": 20,
    "finetune.which": "most",
    "finetune.layers": "first-3",
    "finetune.training.epochs": 2,
    "evaluate.corruptions": ["gaussian_noise", "contrast"],
    "evaluate.severities": [1, 5],
}
"""A trial of all four stages that takes half a second."""


@pytest.fixture
def info() -> DataInfo:
    """Return what is known of a made-up data set, so that keys depend on the plan alone."""
    return DIGITS


class Workshop:
    """A store with tiny digits in it, and what runs a trial there."""

    def __init__(self, folder) -> None:
        self.store = Store(folder)
        self.device = torch.device("cpu")

    def plan(self, **settings) -> TrialPlan:
        config = TrialConfig().with_settings({**TINY, **{key.replace("__", "."): v for key, v in settings.items()}})
        self.info, self.data = prepare_data(config.data, self.store)
        return plan_trial(config, self.info)

    def getter(self):
        return data_getter(self.info, self.store, self.device)

    def run(self, plan: TrialPlan, **options):
        return list(run_chain(plan, self.store, self.getter(), device=self.device, **options))


@pytest.fixture
def workshop(tmp_path) -> Workshop:
    return Workshop(tmp_path / "store")
