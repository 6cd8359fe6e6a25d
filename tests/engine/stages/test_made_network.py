"""The network of a trial that has ended, of what its store still has."""

import pytest
import torch

from engine.errors import InputError
from engine.stages.made_network import made_network
from engine.stages.network import restore_network
from engine.stages.prepared import stored_class_names
from engine.store import open_store


def keys_of(outcomes) -> dict[str, str]:
    return {outcome.spec.stage: outcome.spec.key for outcome in outcomes}


def test_it_is_the_one_that_was_judged(workshop):
    outcomes = workshop.run(workshop.plan())
    keys = keys_of(outcomes)
    assert list(keys) == ["pretrain", "rank", "finetune", "evaluate"]
    backwards = dict(reversed(keys.items()))  # a database may keep no order
    made = made_network(backwards, open_store(workshop.store.address, read_only=True), of="trial 3")
    assert [artifact.manifest["spec"]["stage"] for artifact in made] == ["pretrain", "finetune"]
    network = restore_network(made, torch.device("cpu"))
    images = workshop.data.test.images.float() / 255
    errors = outcomes[-1].artifact.json("errors")["test"]["clean"]
    assert float((network(images).argmax(1) != workshop.data.test.labels).float().mean()) == pytest.approx(errors)


def test_what_is_gone_or_unknown_is_a_sentence(workshop):
    outcomes = workshop.run(workshop.plan())
    keys = keys_of(outcomes)
    with pytest.raises(InputError, match="trial 3 has a stage 'prune' that is not known here; give its module"):
        made_network({**keys, "prune": "0" * 32}, workshop.store, of="trial 3")
    (outcomes[2].artifact.folder / "changes.safetensors").write_bytes(b"torn")
    with pytest.raises(
        InputError, match=r"trial 3: its finetune cannot be used: .*checksum of changes.safetensors differs"
    ):
        made_network(keys, workshop.store, of="trial 3")
    assert workshop.store.look_at(keys["finetune"]) is not None, "nothing is put aside"
    workshop.store.remove(keys["finetune"])
    with pytest.raises(InputError, match=r"trial 3: its finetune \(\w+\) is not in the store .*: it was cleaned up"):
        made_network(keys, workshop.store, of="trial 3")


def test_the_names_of_classes_are_those_of_the_very_images(workshop):
    plan = workshop.plan()
    settings, names = plan.config.data, tuple(str(digit) for digit in range(10))
    assert stored_class_names(settings, workshop.info.training_key, workshop.store) == names
    assert stored_class_names(settings, "0" * 32, workshop.store) is None
    raw = workshop.store.look_at(workshop.info.raw_key)
    (raw.folder / "train.safetensors").write_bytes(b"torn")
    assert stored_class_names(settings, workshop.info.training_key, workshop.store) is None


def test_a_trial_without_a_network_is_told(workshop):
    with pytest.raises(InputError, match="trial 3 has no stage that makes a network; it has evaluate"):
        made_network({"evaluate": "0" * 32}, workshop.store, of="trial 3")
    with pytest.raises(InputError, match="it has none"):
        made_network({}, workshop.store, of="trial 3")
