import pytest
import torch

from engine.settings import TrainingSettings
from engine.training import learning_rate


def rates(*progress: float, **settings) -> list[float]:
    return [learning_rate(TrainingSettings(**settings), share) for share in progress]


def test_constant():
    assert rates(0.0, 0.5, 0.999, schedule="constant", learning_rate=0.02) == [0.02] * 3


def test_one_cycle_at_points_worked_out_by_hand():
    found = rates(0.0, 0.15, 0.3, 0.65, schedule="one-cycle", learning_rate=1.0)
    # a 25th at the start; half way up the cosine is the mean of its ends; the top at 30 %; half way down again
    assert found == pytest.approx([0.04, (0.04 + 1) / 2, 1.0, (1 + 1 / 2.5e5) / 2], rel=1e-12)
    assert learning_rate(TrainingSettings(learning_rate=1.0), 1.0) == pytest.approx(4e-6, rel=1e-9)
    assert rates(0.1, learning_rate=1.0)[0] == pytest.approx(0.04 + 0.96 * 0.25)  # cos(π/3) = 1/2


def test_one_cycle_is_torch_s():
    n = 1001  # torch puts the last step at the end, and its peak at 0.3·n − 1
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=n, div_factor=25, final_div_factor=1e4
    )
    peak = 0.3 * n - 1
    for step in range(n):
        ours = 0.3 * step / peak if step <= peak else 0.3 + 0.7 * (step - peak) / (n - 1 - peak)
        expected = optimizer.param_groups[0]["lr"]
        assert rates(ours, learning_rate=0.1)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        optimizer.step()
        if step < n - 1:
            theirs.step()


def test_step_divides_at_its_milestones():
    found = rates(0.0, 0.39, 0.4, 0.59, 0.6, 0.8, 0.99, schedule="step", learning_rate=0.1)
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-4, 1e-4])
    # the papers' epochs 80, 120 and 160 of 200
    assert rates(79.99 / 200, 80 / 200, schedule="step", learning_rate=0.1) == pytest.approx([0.1, 0.01])
    assert rates(0.5, schedule="step", learning_rate=0.1, milestones=()) == [0.1]
