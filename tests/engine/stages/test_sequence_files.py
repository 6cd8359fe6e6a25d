"""Evaluation along perturbation sequences: made, or read from files in the published format."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.corruptions.perturbed_frames import perturbation_frames
from engine.errors import InputError
from engine.stages import info_from_json, info_to_json
from engine.stages.probe import TEST, corruption_seed
from tests.engine.stages.conftest import Workshop

SMALL = {"data.n_test": 20, "data.n_validation": 10, "pretrain.epochs": 1, "evaluate.corruptions": ["contrast"]}
NAMES = ["gaussian_noise", "translate"]
PUBLISHED = {"gaussian_noise_2": ("gaussian_noise", 2), "translate": ("translate", 2)}


def write_files(workshop: Workshop, folder: Path) -> Path:
    """Write the sequences that evaluation would make itself, of difficulty 2."""
    workshop.plan(**SMALL)
    test = workshop.data.test
    folder.mkdir()
    for file, (name, difficulty) in PUBLISHED.items():
        made = perturbation_frames(
            test.images, name, seed=corruption_seed(TEST), difficulty=difficulty, indices=test.indices
        )
        np.save(folder / f"{file}.npy", torch.stack(list(made), 1).permute(0, 1, 3, 4, 2).numpy())
    return folder


def evaluated(workshop: Workshop, **settings) -> dict:
    plan = workshop.plan(**SMALL, evaluate__sequences=NAMES, evaluate__difficulty=2, **settings)
    return workshop.run(plan)[-1].artifact.json("errors")


def test_files_take_the_place_of_the_sequences_that_are_made(workshop: Workshop, tmp_path: Path, monkeypatch) -> None:
    folder = write_files(workshop, tmp_path / "p")
    made = evaluated(workshop)
    found = [(row["sequence"], row["frames"], row["difficulty"]) for row in made["test"]["sequences"]]
    assert found == [("gaussian_noise", 31, 2), ("translate", 16, 2)]
    monkeypatch.setattr("engine.stages.along_sequences._ELEMENTS_AT_A_TIME", {"cpu": 7 * 256})
    read = evaluated(workshop, data__sequence_files=str(folder))
    rows = [found["test"].pop("sequences") for found in (read, made)]
    assert read == made
    for row, expected in zip(*rows, strict=True):  # sums of parts have other last digits
        assert row == pytest.approx(expected, abs=1e-12)
    plain = workshop.run(workshop.plan(**SMALL))[-1].artifact.json("errors")
    assert "sequences" not in plain["test"]
    assert made == plain
    np.save(folder / "translate.npy", np.load(folder / "translate.npy").repeat(2, 1)[:, ::4].repeat(2, 1))
    changed = evaluated(workshop, data__sequence_files=str(folder))
    assert changed["test"]["sequences"][0] == rows[0][0]
    assert changed["test"]["sequences"][1] != rows[0][1]
    assert info_from_json(info_to_json(workshop.info)) == workshop.info


def test_files_that_are_not_of_the_test_images_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    folder = write_files(workshop, tmp_path / "p")
    noise = np.load(folder / "gaussian_noise_2.npy")
    cases = {
        "has 9 sequences, too few": noise[:9],
        "is of other pictures: the first frame of its sequence 0 is not the test image": 255 - noise,
        "must be uint8 of the shape (n, 31, 16, 16, 1), got uint8 of (20, 30, 16, 16, 1)": noise[:, :30],
    }
    for sentence, content in cases.items():
        np.save(folder / "gaussian_noise_2.npy", content)
        with pytest.raises(InputError) as error:
            workshop.plan(
                **SMALL, data__sequence_files=str(folder), evaluate__sequences=NAMES, evaluate__difficulty=2
            )  # before anything starts
        assert sentence in str(error.value)
    (folder / "gaussian_noise_2.npy").unlink()
    with pytest.raises(InputError, match=r"folder of perturbation sequences .* lacks gaussian_noise_2.npy"):
        workshop.plan(**SMALL, data__sequence_files=str(folder), evaluate__sequences=NAMES, evaluate__difficulty=2)
    with pytest.raises(InputError, match="folder of perturbation sequences does not exist: /nowhere"):
        workshop.plan(data__sequence_files="/nowhere")
    with pytest.raises(InputError, match=r"'p' is no suite of corruptions .*: evaluate.sequences=p"):
        workshop.plan(evaluate__corruptions=["p"])
    with pytest.raises(InputError, match="unknown perturbation sequence 'roll'"):
        workshop.plan(evaluate__sequences=["roll"])
