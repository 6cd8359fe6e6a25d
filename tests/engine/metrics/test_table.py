import pytest
import torch
from torch import nn

from engine.corruptions import corrupt
from engine.data import Split
from engine.errors import InputError
from engine.metrics import corrupted_splits, corruption_scores, error_table, mean_by_corruption

TABLE = {("fog", 1): 0.1, ("fog", 5): 0.3, ("snow", 1): 0.2, ("snow", 5): 0.6}


@pytest.fixture
def split() -> Split:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 1, 8, 8), generator=draws).byte()
    return Split(images, torch.randint(0, 3, (30,), generator=draws), torch.arange(100, 130))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def test_error_table_equals_a_loop_over_the_images(model, split):
    names, severities = ("gaussian_noise", "contrast"), (1, 4)
    found = error_table(model, split, corruptions=names, severities=severities, seed=3, table="digits")
    assert list(found) == [(name, severity) for name in names for severity in severities]
    for (name, severity), error in found.items():
        wrong = 0
        for image, label, index in zip(split.images, split.labels, split.indices, strict=True):
            bad = corrupt(image[None], name, severity, seed=3, indices=[int(index)], table="digits")
            wrong += int(model(bad.float() / 255).argmax()) != int(label)
        assert error == pytest.approx(wrong / 30)
    assert len(set(found.values())) > 1


def test_error_table_depends_on_the_seed_and_the_table(model, split):
    def errors(**changes):
        options = {"corruptions": ["gaussian_noise"], "severities": [5], "seed": 0, "table": "digits"} | changes
        ((_, corrupted),) = corrupted_splits(split, options.pop("corruptions"), options.pop("severities"), **options)
        return corrupted.images

    assert torch.equal(errors(), errors())
    assert not torch.equal(errors(), errors(seed=1))
    assert not torch.equal(errors(), errors(table="cifar-c"))


def test_corrupted_splits_leave_the_clean_images_alone(split):
    before = split.images.clone()
    for cell, corrupted in corrupted_splits(split, ["contrast"], [1, 2], seed=0, table="digits"):
        assert cell[0] == "contrast"
        assert torch.equal(corrupted.labels, split.labels)
        assert torch.equal(corrupted.indices, split.indices)
        assert not torch.equal(corrupted.images, split.images)
    assert torch.equal(split.images, before)


def test_scores_without_a_baseline_are_errors():
    scores = corruption_scores(TABLE, 0.05)
    assert pytest.approx(0.3) == scores.E
    assert scores.E_by_corruption == pytest.approx({"fog": 0.2, "snow": 0.4})
    assert (scores.CE, scores.mCE, scores.rCE_by_corruption, scores.rCE) == (None, None, None, None)


def test_scores_of_a_2_by_2_table_by_hand():
    scores = corruption_scores(TABLE, 0.05, ({"fog": 0.25, "snow": 0.3, "frost": 0.9}, 0.1))
    assert pytest.approx({"fog": 0.8, "snow": 4 / 3}) == scores.CE  # 0.4 / 0.5 and 0.8 / 0.6
    assert scores.mCE == pytest.approx((0.8 + 4 / 3) / 2)
    # (0.2 − 0.05) / (0.25 − 0.1) and (0.4 − 0.05) / (0.3 − 0.1)
    assert scores.rCE_by_corruption == pytest.approx({"fog": 1.0, "snow": 1.75})
    assert scores.rCE == pytest.approx(1.375)


@pytest.mark.parametrize("on_fog", [0.1, 0.08])
def test_a_relative_score_needs_a_baseline_that_suffers(on_fog):
    scores = corruption_scores(TABLE, 0.05, ({"fog": on_fog, "snow": 0.3}, 0.1))
    assert scores.rCE_by_corruption == {"fog": None, "snow": pytest.approx(1.75)}
    assert scores.rCE is None
    assert scores.mCE == pytest.approx((0.2 / on_fog + 4 / 3) / 2)


def test_a_baseline_must_have_every_corruption_and_err_on_it():
    with pytest.raises(InputError, match="the baseline has no error for snow"):
        corruption_scores(TABLE, 0.05, ({"fog": 0.25}, 0.1))
    with pytest.raises(InputError, match="its error is 0 for fog"):
        corruption_scores(TABLE, 0.05, ({"fog": 0.0, "snow": 0.3}, 0.0))


def test_an_empty_or_ragged_table_is_refused():
    with pytest.raises(InputError, match="the error table is empty"):
        corruption_scores({}, 0.05)
    with pytest.raises(InputError, match=r"the same severities, got \[\(1,\), \(1, 5\)\]"):
        mean_by_corruption({("fog", 1): 0.1, ("snow", 1): 0.2, ("snow", 5): 0.6})
