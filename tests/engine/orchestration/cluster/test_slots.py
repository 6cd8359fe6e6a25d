import pytest

from engine.errors import InputError
from engine.orchestration.cluster.slots import SlotPlan, plan_slots
from engine.orchestration.options import SweepOptions


@pytest.mark.parametrize(
    ("options", "cpus", "gpus", "expected"),
    [
        ({}, 2, 0, SlotPlan(2, 1, 0.0)),
        ({"cpus_per_slot": 3}, 8, 0, SlotPlan(2, 3, 0.0)),
        ({}, 8, 2, SlotPlan(2, 1, 1.0)),
        ({"gpus_per_slot": 0.25}, 16, 2, SlotPlan(8, 1, 0.25)),
        ({"gpus_per_slot": 0.25}, 4, 2, SlotPlan(4, 1, 0.25)),
        ({"gpus_per_slot": 0.0}, 4, 2, SlotPlan(4, 1, 0.0)),
        ({"slots": 1}, 4, 0, SlotPlan(1, 1, 0.0)),
    ],
)
def test_slots_fill_what_is_there(options, cpus, gpus, expected) -> None:
    assert plan_slots(SweepOptions(**options).slot_request, n_cpus=cpus, n_gpus=gpus) == expected


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"slots": 3}, "3 slots of 1 cores and 0 GPUs do not fit: there are 2 cores and 0 GPUs"),
        ({"cpus_per_slot": 4}, "1 slots of 4 cores and 0 GPUs do not fit"),
        ({"gpus_per_slot": 0.5}, "1 slots of 1 cores and 0.5 GPUs do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(options, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        plan_slots(SweepOptions(**options).slot_request, n_cpus=2, n_gpus=0)


def test_a_cluster_that_is_scaled_to_zero_gets_the_slots_that_are_asked_for() -> None:
    options = SweepOptions(slots=4, gpus_per_slot=1.0)
    plan = plan_slots(options.slot_request, n_cpus=0, n_gpus=0, elastic=True)
    assert plan == SlotPlan(4, 1, 1.0)
    assert plan.device == "cuda"
    with pytest.raises(InputError, match="do not fit"):
        plan_slots(SweepOptions(gpus_per_slot=1.0).slot_request, n_cpus=0, n_gpus=0, elastic=True)
