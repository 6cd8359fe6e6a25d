import pytest
import torch

from engine.data import DataSet, RawData, Split, split_data, split_key
from engine.errors import InputError
from engine.settings import DataSettings

PER_CLASS = (50, 30, 20)


def make_raw() -> RawData:
    """Return 100 training images in three classes of unequal size, and 40 test images."""
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(PER_CLASS))

    def split(labels: torch.Tensor) -> Split:
        n = len(labels)
        images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 4, 4).contiguous()
        return Split(images, labels, torch.arange(n))

    return RawData(split(labels), split(torch.arange(40) % 3), ("a", "b", "c"))


def indices(data: DataSet, part: str) -> set[int]:
    return set(getattr(data, part).indices.tolist())


def test_splits_do_not_overlap_and_lose_nothing():
    data = split_data(make_raw(), DataSettings(validation_fraction=0.3))
    assert indices(data, "train") | indices(data, "validation") == set(range(100))
    assert not indices(data, "train") & indices(data, "validation")
    assert indices(data, "test") == set(range(40))
    assert data.n_classes == 3
    assert (data.channels, data.image_size) == (1, 4)


def test_splits_have_each_class_in_its_proportion():
    data = split_data(make_raw(), DataSettings(validation_fraction=0.3))
    assert torch.bincount(data.validation.labels).tolist() == [15, 9, 6]
    assert torch.bincount(data.train.labels).tolist() == [35, 21, 14]


def test_splits_keep_images_labels_and_indices_together():
    raw = make_raw()
    data = split_data(raw, DataSettings(n_train=37, n_validation=11, n_test=9))
    for part, source in ((data.train, raw.train), (data.validation, raw.train), (data.test, raw.test)):
        assert torch.equal(part.images[:, 0, 0, 0].long(), part.indices)
        assert torch.equal(part.labels, source.labels[part.indices])
        assert part.indices.tolist() == sorted(part.indices.tolist())
    assert (len(data.train), len(data.validation), len(data.test)) == (37, 11, 9)


def test_limits_are_nested_and_mix_the_classes():
    whole = split_data(make_raw(), DataSettings())
    for part, limit in (("train", "n_train"), ("validation", "n_validation"), ("test", "n_test")):
        small, large = (split_data(make_raw(), DataSettings(**{limit: n})) for n in (9, 15))
        assert len(getattr(small, part)) == 9
        assert indices(small, part) < indices(large, part) < indices(whole, part)
        assert len(getattr(small, part).labels.unique()) == 3


def test_a_limit_above_what_there_is_takes_all():
    data = split_data(make_raw(), DataSettings(n_train=1000, n_validation=1000, n_test=1000))
    whole = split_data(make_raw(), DataSettings())
    assert all(indices(data, part) == indices(whole, part) for part in ("train", "validation", "test"))


def test_splits_depend_on_their_seed_alone():
    torch.manual_seed(1)
    first = split_data(make_raw(), DataSettings(n_test=9))
    torch.manual_seed(2)
    again, other = split_data(make_raw(), DataSettings(n_test=9)), split_data(make_raw(), DataSettings(split_seed=1))
    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part).indices, getattr(again, part).indices)
    assert indices(first, "validation") != indices(other, "validation")


def test_a_class_too_small_to_split_is_refused():
    with pytest.raises(InputError, match="class 0 has 50 training images: too few to set 1% apart"):
        split_data(make_raw(), DataSettings(validation_fraction=0.01))


def test_raw_data_needs_two_classes():
    raw = make_raw()
    with pytest.raises(InputError, match="at least 2 classes, got 1"):
        RawData(raw.train, raw.test, ("a",))


def test_split_key_changes_with_the_images_and_every_way_of_splitting():
    base = DataSettings()
    keys = [split_key("raw", base), split_key("other", base)]
    for name, value in (
        ("n_train", 50),
        ("n_validation", 50),
        ("n_test", 50),
        ("validation_fraction", 0.25),
        ("split_seed", 1),
    ):
        keys.append(split_key("raw", DataSettings(**{name: value})))
    assert len(set(keys)) == 7
    assert split_key("raw", DataSettings(name="folder:x", image_size=8, channels=3)) == keys[0]


def test_split_key_for_training_does_not_depend_on_the_number_of_test_images():
    few, all_of_them = DataSettings(n_test=10), DataSettings()
    assert split_key("a" * 32, few, with_test=False) == split_key("a" * 32, all_of_them, with_test=False)
    assert split_key("a" * 32, few) != split_key("a" * 32, all_of_them)
    assert split_key("a" * 32, all_of_them, with_test=False) != split_key("a" * 32, all_of_them)
    fewer = DataSettings(n_train=50)
    assert split_key("a" * 32, fewer, with_test=False) != split_key("a" * 32, all_of_them, with_test=False)
