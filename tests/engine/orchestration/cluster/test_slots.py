import pytest

from engine.errors import InputError
from engine.orchestration.cluster.slots import (
    Machine,
    SlotPlan,
    note_of_cores_alone,
    plan_cluster_slots,
    plan_slots,
)
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
        ({"gpus_per_slot": 0.4}, 16, 2, SlotPlan(4, 1, 0.4)),
        ({"gpus_per_slot": 0.6}, 16, 3, SlotPlan(3, 1, 0.6)),
        ({"gpus_per_slot": 0.1}, 64, 3, SlotPlan(30, 1, 0.1)),
        ({"gpus_per_slot": 1 / 3}, 16, 1, SlotPlan(3, 1, 1 / 3)),
        ({"gpus_per_slot": 2.0}, 16, 5, SlotPlan(2, 1, 2.0)),
        ({"slots": 1}, 4, 0, SlotPlan(1, 1, 0.0)),
    ],
)
def test_slots_fill_what_is_there(options, cpus, gpus, expected) -> None:
    assert plan_slots(SweepOptions(**options).slot_request, n_cpus=cpus, n_gpus=gpus) == expected


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"slots": 3}, "3 slots of 1 core and 0 GPUs do not fit: there are 2 cores and 0 GPUs"),
        ({"cpus_per_slot": 4}, "1 slot of 4 cores and 0 GPUs do not fit"),
        ({"gpus_per_slot": 0.5}, "1 slot of 1 core and 0.5 GPUs do not fit"),
    ],
)
def test_what_does_not_fit_is_refused(options, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        plan_slots(SweepOptions(**options).slot_request, n_cpus=2, n_gpus=0)


HEAD, SMALL, LARGE = Machine(0, 0), Machine(4, 1), Machine(16, 4)


def plan(machines: list[Machine], kinds: tuple[Machine, ...] = (), **options) -> SlotPlan:
    return plan_cluster_slots(SweepOptions(**options).slot_request, machines, kinds)


def test_a_cluster_that_is_scaled_to_zero_gets_the_slots_that_are_asked_for() -> None:
    found = plan([HEAD], slots=4, gpus_per_slot=1.0)
    assert found == SlotPlan(4, 1, 1.0)
    assert found.device == "cuda"
    assert plan([HEAD], slots=4, gpus_per_slot=0.0).device == "cpu"


@pytest.mark.parametrize(
    ("machines", "options", "expected"),
    [
        ([HEAD, SMALL, LARGE], {}, SlotPlan(5, 1, 1.0)),
        ([HEAD, SMALL, LARGE], {"cpus_per_slot": 3}, SlotPlan(5, 3, 1.0)),
        ([SMALL, SMALL], {"cpus_per_slot": 3, "gpus_per_slot": 0.0}, SlotPlan(2, 3, 0.0)),
        ([SMALL, LARGE], {"gpus_per_slot": 2.0}, SlotPlan(2, 1, 2.0)),
        ([Machine(2, 0), Machine(2, 0)], {}, SlotPlan(4, 1, 0.0)),
    ],
)
def test_slots_fill_each_machine_that_is_up(machines, options, expected: SlotPlan) -> None:
    assert plan(machines, **options) == expected


@pytest.mark.parametrize("machines", [[], [HEAD], [Machine(8, 0)]])
def test_without_a_gpu_in_sight_it_has_to_be_said_what_slots_compute_on(machines: list[Machine]) -> None:
    with pytest.raises(InputError, match="--gpus-per-slot 1 to wait for machines with GPUs, or --gpus-per-slot 0"):
        plan(machines, slots=4)


@pytest.mark.parametrize(
    ("machines", "options"),
    [([], {}), ([HEAD], {}), ([HEAD], {"gpus_per_slot": 1.0}), ([SMALL], {"cpus_per_slot": 8})],
)
def test_without_room_and_without_a_number_of_slots_there_is_a_hint(machines, options) -> None:
    with pytest.raises(InputError, match="--slots N --gpus-per-slot 1"):
        plan(machines, **options)


def test_slots_that_no_kind_of_machine_could_hold_are_refused() -> None:
    kinds = (Machine(8, 1, "gpu-worker"), Machine(32, 0, "cpu-worker"))
    assert plan([HEAD], kinds, slots=4, gpus_per_slot=0.5) == SlotPlan(4, 1, 0.5)
    assert plan([HEAD], kinds, slots=4, gpus_per_slot=0.0, cpus_per_slot=32).n_slots == 4
    for options in ({"gpus_per_slot": 2.0}, {"gpus_per_slot": 1.0, "cpus_per_slot": 9}):
        with pytest.raises(InputError, match=r"fits no machine .* gpu-worker \(8 cores and 1 GPU\)"):
            plan([HEAD], kinds, slots=4, **options)
    assert plan([HEAD], slots=4, gpus_per_slot=2.0).n_slots == 4, "which kinds there are is not always known"


@pytest.mark.parametrize("gpus", [1.5, -1.0, 0.00001, float("inf"), float("nan")])
def test_gpus_that_no_slot_can_get_are_refused(gpus: float) -> None:
    with pytest.raises(InputError, match=r"--gpus-per-slot must be 0, a share of one GPU .* or a whole number"):
        SweepOptions(gpus_per_slot=gpus).check_values()


def test_a_cluster_that_may_get_gpus_is_not_taken_for_one_of_cores_alone() -> None:
    kinds = (Machine(8, 1, "gpu-worker"), Machine(32, 0, "cpu-worker"))
    with pytest.raises(InputError, match=r"may get some \(gpu-worker .*--gpus-per-slot 1 and --slots N"):
        plan([Machine(8, 0)], kinds)
    assert plan([Machine(8, 0)], kinds, gpus_per_slot=0.0).device == "cpu"
    assert plan([Machine(8, 0), SMALL], kinds).device == "cuda"


def test_that_a_cluster_s_stages_get_no_gpu_is_said_unless_it_was_asked_for() -> None:
    asked = SweepOptions().slot_request
    assert "cores alone" in note_of_cores_alone(asked, plan([Machine(2, 0)]))
    assert note_of_cores_alone(asked, plan([SMALL])) == ""
    asked = SweepOptions(gpus_per_slot=0.0).slot_request
    assert note_of_cores_alone(asked, plan([Machine(2, 0)], gpus_per_slot=0.0)) == ""
