import weakref

import pytest
import torch
from torch import nn

from engine.corruptions import corrupt
from engine.data import Split
from engine.metrics import corrupted_splits, error_table


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


def test_one_corrupted_set_exists_at_a_time(model, split, monkeypatch):
    alive = []

    def watched(*args, **options):
        assert all(reference() is None for reference in alive), "an earlier set is still there"
        images = corrupt(*args, **options)
        alive.append(weakref.ref(images))
        return images

    monkeypatch.setattr("engine.metrics.table.corrupt", watched)
    error_table(model, split, corruptions=("contrast", "gaussian_noise"), severities=(1, 2, 3), seed=0, table="digits")
    assert len(alive) == 6
