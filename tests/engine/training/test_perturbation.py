"""Noise and AugMix: their loss against stored cases, their operations against Pillow's, their draws, and a training."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from engine.data import Split
from engine.data.operations import OPERATIONS
from engine.settings import TrainingSettings
from engine.training import Trainer
from engine.training.consistency import jensen_shannon
from engine.training.perturbation import AugMix, Noise, apply_chosen, make_perturbation
from tests.engine.corruptions.reference import reference_path

LEVELS = np.random.default_rng(1).uniform(0.1, 9.9, 24)
SIGNS = np.random.default_rng(2).choice([-1.0, 1.0], 24)


def make_images(channels: int = 3, side: int = 32, n: int = 24) -> torch.Tensor:
    generator = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(side), np.arange(side)) * 3
    pictures = np.clip(ramp + generator.integers(0, 60, (n, channels, side, side)), 0, 255)
    pictures[0] = 77  # of one value
    return torch.from_numpy(pictures.astype(np.uint8))


def by_pillow(name: str, image: Image.Image, level: float, sign: float) -> Image.Image:
    width, height = image.size

    def moved(*matrix: float) -> Image.Image:
        return image.transform((width, height), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)

    done = {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "posterize": lambda: ImageOps.posterize(image, 4 - int(level * 4 / 10)),
        "solarize": lambda: ImageOps.solarize(image, 256 - int(level * 256 / 10)),
        "rotate": lambda: image.rotate(sign * int(level * 30 / 10), resample=Image.Resampling.BILINEAR),
        "shear_x": lambda: moved(1, sign * (level * 0.3 / 10), 0, 0, 1, 0),
        "shear_y": lambda: moved(1, 0, 0, sign * (level * 0.3 / 10), 1, 0),
        "translate_x": lambda: moved(1, 0, sign * int(level * (width / 3) / 10), 0, 1, 0),
        "translate_y": lambda: moved(1, 0, 0, 0, 1, sign * int(level * (height / 3) / 10)),
    }
    return done[name]()


@pytest.mark.parametrize(("channels", "side"), [(3, 32), (1, 17)])
def test_each_image_undergoes_its_own_operation_as_by_pillow(channels, side):
    images = make_images(channels, side)
    for first in range(len(OPERATIONS)):
        chosen = (torch.arange(len(images)) + first) % (len(OPERATIONS) + 1) - 1
        found = apply_chosen(images, chosen, torch.from_numpy(LEVELS), torch.from_numpy(SIGNS))
        for number, (image, which) in enumerate(zip(images, chosen.tolist(), strict=True)):
            expected = image.numpy()
            if which >= 0:
                picture = Image.fromarray(np.moveaxis(expected, 0, -1) if channels == 3 else expected[0])
                made = by_pillow(OPERATIONS[which].__name__, picture, LEVELS[number], SIGNS[number])
                expected = np.moveaxis(np.asarray(made).reshape(side, side, channels), -1, 0)
            np.testing.assert_array_equal(found[number].numpy(), expected)


def test_the_loss_and_its_gradients_are_those_of_the_stored_cases():
    path = reference_path("successors/augmix_loss_cases.npz")
    arrays = np.load(path)
    for case in json.loads(path.with_suffix(".json").read_text())["cases"]:
        name = case["name"]
        views = [torch.from_numpy(arrays[f"{name}/{view}"]).requires_grad_() for view in ("clean", "view1", "view2")]
        labels = torch.from_numpy(arrays[f"{name}/labels"])
        divergence = jensen_shannon(views)
        assert float(divergence.detach()) == pytest.approx(case["jsd"], abs=1e-9)
        penalty = AugMix(severity=3, consistency=12, seed=0).penalty(views)
        loss = F.cross_entropy(views[0], labels) + penalty
        assert float(loss.detach()) == pytest.approx(case["loss"], abs=1e-9)
        loss.backward()
        for view, gradient in zip(views, ("d_clean", "d_view1", "d_view2"), strict=True):
            np.testing.assert_allclose(view.grad, arrays[f"{name}/{gradient}"], atol=1e-9)


def test_what_an_image_suffers_depends_on_seed_epoch_and_place_alone():
    images, places = make_images(), torch.arange(24)
    for make in (
        lambda seed: AugMix(severity=3, consistency=12, seed=seed),
        lambda seed: Noise(sigmas=(0.1, 0.4), share=1.0, seed=seed),
    ):
        whole = make(0).views(images, places, 2, 0)
        n_views = len(whole) // 24
        some = torch.tensor([5, 0, 17])
        part = make(0).views(images[some], places[some], 2, 0)
        assert torch.equal(part.reshape(n_views, 3, 3, 32, 32), whole.reshape(n_views, 24, 3, 32, 32)[:, some])
        assert (whole.min(), whole.max()) >= (0, 0)
        assert whole.max() <= 1
        for other in (make(1).views(images, places, 2, 0), make(0).views(images, places, 3, 0)):
            assert not torch.equal(whole, other)
            assert n_views == 1 or torch.equal(whole[:24], other[:24]), "the image itself comes first"


def test_a_share_of_each_batch_gets_noise_of_each_of_the_deviations():
    images = torch.full((40, 3, 16, 16), 128, dtype=torch.uint8)
    found = Noise(sigmas=(0.05, 0.2), share=0.75, seed=0).views(images, torch.arange(40), 0, 0) - 128 / 255
    deviations = found.std(dim=(1, 2, 3))
    assert (deviations[30:] == 0).all()
    low, high = deviations[:30] < 0.1, deviations[:30] >= 0.1
    assert min(int(low.sum()), int(high.sum())) > 5
    assert float(deviations[:30][low].mean()) == pytest.approx(0.05, rel=0.05)
    assert float(deviations[:30][high].mean()) == pytest.approx(0.2, rel=0.05)


def test_mixtures_lie_between_the_image_and_its_chains():
    images = make_images()
    view = AugMix(severity=3, consistency=0, seed=0).views(images, torch.arange(24), 0, 0)
    assert view.shape == images.shape
    assert not torch.equal(view[1:], images[1:].float() / 255)
    gaps = (view - images.float() / 255).abs().mean(dim=(1, 2, 3))
    assert gaps.min() < 0.03 < gaps.max()


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "augmix", "severity": 3.0, "consistency": 12.0},
        {"kind": "augmix", "severity": 3.0, "consistency": 0.0},
        {"kind": "noise", "sigmas": [0.2], "share": 0.5},
        {"kind": "prime", "strengths": "cifar", "consistency": 12.0},
        {"kind": "prime", "strengths": "imagenet", "consistency": 0.0},
    ],
)
def test_a_training_that_goes_on_ends_with_the_same_bits_and_another_than_without(settings):
    split = Split(make_images(1, 16, 30), torch.arange(30) % 3, torch.arange(30))

    def trained(perturbed: bool, stop: bool = False) -> dict[str, torch.Tensor]:
        def trainer() -> Trainer:
            torch.manual_seed(0)
            network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 196, 3))
            how = TrainingSettings(epochs=2, batch_size=8, augmentation="crop-flip")
            changes = make_perturbation(settings if perturbed else None, seed=4)
            return Trainer(network, split, how, seed=1, judge=lambda _: {"validation_error": 0.5}, perturbation=changes)

        one = trainer()
        record = one.train_epoch()
        assert np.isfinite(record["loss"])
        if stop:
            begun, one = one.checkpoint(), trainer()
            one.restore(*begun)
        one.train_epoch()
        return dict(one.module.state_dict())

    whole, in_parts, plain = trained(True), trained(True, stop=True), trained(False)
    assert all(torch.equal(value, in_parts[name]) for name, value in whole.items())
    assert not any(torch.equal(value, plain[name]) for name, value in whole.items())
