"""Perturbation sequences against the benchmark's frames (reference files; skipped without them), and what they draw."""

import json

import numpy as np
import pytest
import torch

from engine.corruptions.perturbed_frames import NOISES, perturbation_frames, with_scored
from engine.corruptions.plane_maps import moved
from engine.corruptions.sequence_tables import SCORED, SEQUENCE_TABLES, SEQUENCES
from engine.errors import InputError
from tests.engine.corruptions.reference import channels_first, reference_path

DETERMINISTIC = [name for name in SEQUENCES if name not in (*NOISES, "snow", "spatter")]

SHARE_OFF_BY_ONE = {"gaussian_blur": 5e-4}
"""Its weights are exponentials, whose last bit the reference's machine has otherwise; all else is byte for byte."""


def frames(images, name, **options):
    return torch.stack(list(perturbation_frames(images, name, **{"seed": 3, **options})), 1)


@pytest.fixture
def images():
    return torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_frames_are_the_benchmarks():
    stored = np.load(reference_path("successors/cifar_p_ref.npz"))
    clean = channels_first(stored["clean"])
    assert set(DETERMINISTIC) == set(stored) - {"clean", "index_in_cifar_c_ref100"}
    for name in DETERMINISTIC:
        found = frames(clean, name).permute(0, 1, 3, 4, 2).numpy()
        levels = np.abs(found.astype(int) - stored[name])
        assert levels.max() <= (name in SHARE_OFF_BY_ONE), name
        assert levels.mean() <= SHARE_OFF_BY_ONE.get(name, 0), name


def test_constants_are_the_benchmarks():
    stored = json.loads(reference_path("successors/p_constants.json").read_text())
    assert list(SCORED) == stored["scored"]
    assert sorted(SEQUENCES[10:]) == sorted(stored["validation"])
    assert sorted(NOISES) == sorted(stored["noise_compares_with_first_frame"])
    for table, key in (("cifar-p", "cifar10_p"), ("imagenet-p", "imagenet_p")):
        for name, of in stored[key].items():
            found = SEQUENCE_TABLES[table][name]
            assert found.n_frames == of["frames"], name
            levels = of.get("std") or of.get("photons")
            assert levels is None or list(found.constants) == levels, name
            numbers = [value for value in of.values() if isinstance(value, float)]
            assert set(numbers) <= {*found.constants, found.step} or name == "gaussian_blur", name
    middle = {name: of.at(15) for name, of in SEQUENCE_TABLES["imagenet-p"].items()}
    assert (middle["brightness"], middle["scale"], middle["rotate"], middle["shear"]) == (0, 0.775, 0, 0)


@pytest.mark.parametrize("table", SEQUENCE_TABLES)
def test_an_image_s_frames_depend_on_it_alone(images, table):
    for name in SEQUENCES:
        whole = frames(images, name, table=table)
        assert whole.shape == (4, SEQUENCE_TABLES[table][name].n_frames, 3, 16, 16)
        part = frames(images[2:3], name, table=table, indices=[2])
        assert torch.equal(whole[2:3], part), name
        n_different = len({frame.numpy().tobytes() for frame in whole.unbind(1)})
        assert n_different > 5 or (table, name) == ("imagenet-p", "spatter"), name  # of its drops few are as small
    assert frames(images[:, :1], "snow", table=table).shape[2] == 1


def test_noise_is_that_of_its_difficulty_and_of_its_frame():
    grey = torch.full((8, 3, 32, 32), 128, dtype=torch.uint8)
    for name, levels in (("gaussian_noise", (0.02, 0.04, 0.06)), ("speckle_noise", (0.05, 0.07, 0.1))):
        for difficulty, level in enumerate(levels, start=1):
            found = frames(grey, name, difficulty=difficulty)
            assert torch.equal(found[:, 0], grey)
            deviation = (found[:, 1:].double() / 255).std()
            assert float(deviation) == pytest.approx(level * (128 / 255 if name == "speckle_noise" else 1), rel=0.02)
    counts = frames(grey, "shot_noise", difficulty=3)[:, 1:].double()
    assert float((counts / 255).var()) == pytest.approx(128 / 255 / 200, rel=0.05)


def test_drops_run_down_as_a_convolution_of_the_columns_has_them(monkeypatch):
    layers = []
    monkeypatch.setattr("engine.corruptions.perturbed_frames.water", lambda layer, _: layers.append(layer) or layer)
    black = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    for table, shares in (("cifar-p", [0.2, 0.8]), ("imagenet-p", [0.05, 0.1, 0.15, 0.7])):
        layers.clear()
        frames(black, "spatter", table=table)
        before, after = layers[0][1].numpy(), layers[1][1].numpy()
        assert before.max() > 0
        expected = np.apply_along_axis(lambda column, shares=shares: np.convolve(column, shares, "same"), 0, before)
        np.testing.assert_allclose(after, expected, atol=1e-12)


def test_what_moves_out_is_lost_and_black_comes_in():
    row = torch.arange(1, 5, dtype=torch.uint8).reshape(1, 1, 1, 4)
    for columns, expected in ((0, [1, 2, 3, 4]), (1, [0, 1, 2, 3]), (-3, [4, 0, 0, 0]), (4, [0] * 4), (-9, [0] * 4)):
        assert moved(row, columns).flatten().tolist() == expected


def test_what_cannot_be_is_said(images):
    assert with_scored(("shear", "p", "tilt")) == (*SCORED, "shear")
    with pytest.raises(InputError, match=r"unknown perturbation sequence 'rotat' \(did you mean 'rotate'\?\)"):
        with_scored(("p", "rotat"))
    with pytest.raises(InputError, match="unknown table of perturbation sequences 'digits'"):
        frames(images, "rotate", table="digits")
    with pytest.raises(InputError, match="`difficulty` must be a whole number from 1 to 3, got 4"):
        frames(images, "rotate", difficulty=4)
    with pytest.raises(InputError, match="images must be uint8"):
        frames(images.float(), "rotate")
