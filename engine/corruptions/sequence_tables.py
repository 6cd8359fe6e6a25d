"""The constants of CIFAR-10-P and ImageNet-P: how many frames a perturbation sequence has, and what its frames undergo.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR 2019,
section 4.2 (`make_cifar_p.py`, `make_imagenet_p.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SequenceConstants:
    """What decides the frames of a sequence.

    Attributes:
        n_frames: how many frames it has.
        constants: of all frames; of a noise one at each difficulty.
        start: of a quantity that grows from frame to frame, its value at frame 0, in units of ``unit``.
        step: what it grows by.
        unit: 1, or 100 for hundredths: some quantities are whole numbers of these.
    """

    n_frames: int
    constants: tuple = ()
    start: float = 0.0
    step: float = 0.0
    unit: float = 1.0

    def at(self, frame: int) -> float:
        """Return the quantity at a frame."""
        return (self.start + self.step * frame) / self.unit


CIFAR_P: dict[str, SequenceConstants] = {
    "gaussian_noise": SequenceConstants(31, (0.02, 0.04, 0.06)),  # standard deviation
    "shot_noise": SequenceConstants(31, (700, 400, 200)),  # photons at full scale
    "motion_blur": SequenceConstants(21, (6, 1.8), -180, 9),  # radius, sigma; degrees
    "zoom_blur": SequenceConstants(31, (), 1, 0.004),  # factor
    "snow": SequenceConstants(31, (0.05, 0.3, 2, 0.5, 10, 2, 0.85), -150, 4),  # as of the corruption; degrees
    "brightness": SequenceConstants(31, (), -22.5, 1.5, 100),  # added to V
    "translate": SequenceConstants(16, (), -7, 1),  # pixels to the right
    "rotate": SequenceConstants(31, (), -15, 1),  # degrees
    "tilt": SequenceConstants(31, (), -11.25, 0.75),  # degrees, about both axes
    "scale": SequenceConstants(31, (), 70, 2, 100),  # factor
    "speckle_noise": SequenceConstants(31, (0.05, 0.07, 0.1)),  # standard deviation at full scale
    "gaussian_blur": SequenceConstants(31, (7.0,), 0.3, 0.015),  # radius in units of sigma; sigma
    # mean, standard deviation, sigma, threshold, strength; shares of a drop that each frame moves by 0, 1, … rows
    "spatter": SequenceConstants(31, (0.6, 0.265, 1.75, 0.7, 0.6, (0.2, 0.8))),
    "shear": SequenceConstants(31, (), -15, 1),  # degrees
}
IMAGENET_P: dict[str, SequenceConstants] = {
    "gaussian_noise": SequenceConstants(31, (0.03, 0.05, 0.08)),
    "shot_noise": SequenceConstants(31, (300, 120, 60)),
    "motion_blur": SequenceConstants(31, (10, 3), -120, 4),
    "zoom_blur": SequenceConstants(31, (), 1, 0.004),
    "snow": SequenceConstants(31, (0.05, 0.3, 3, 0.5, 14, 4, 0.85), -150, 4),
    "brightness": SequenceConstants(31, (), -30, 2, 100),
    "translate": SequenceConstants(41, (), -20, 1),
    "rotate": SequenceConstants(31, (), -15, 1),
    "tilt": SequenceConstants(31, (), -15, 1),
    "scale": SequenceConstants(31, (), 40, 2.5, 100),
    "speckle_noise": SequenceConstants(31, (0.05, 0.1, 0.15)),
    "gaussian_blur": SequenceConstants(31, (6.0,), 0.25, 0.035),
    "spatter": SequenceConstants(31, (0.65, 0.27, 3.7, 0.69, 0.6, (0.05, 0.1, 0.15, 0.7))),
    "shear": SequenceConstants(31, (), -15, 1),
}

SEQUENCE_TABLES: dict[str, dict[str, SequenceConstants]] = {"cifar-p": CIFAR_P, "imagenet-p": IMAGENET_P}
_OF_SEVERITY_TABLES = {"imagenet-c": "imagenet-p"}

SEQUENCES: tuple[str, ...] = tuple(CIFAR_P)
SCORED: tuple[str, ...] = SEQUENCES[:10]
"""Those that the benchmark's mean is over; the other four were set aside for choices."""
P = "p"
"""The word that stands for the scored ones."""
N_DIFFICULTIES = 3


def sequence_table(severity_table: str) -> str:
    """Return which sequences go with a severity table: ImageNet-P's with ImageNet-C's, CIFAR-10-P's with all others."""
    return _OF_SEVERITY_TABLES.get(severity_table, "cifar-p")
