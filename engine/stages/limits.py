"""What a trial may ask of a data set: no more images than it has, and noise that its images can suffer."""

from __future__ import annotations

import torch

from engine.corruptions import distort
from engine.data import DataInfo
from engine.errors import DataLimitError, InputError
from engine.settings import UNLABELLED, DistortionSettings, TrialConfig
from engine.stages.budget import check_held_out

LIMITED = ("distortion.n_images", "rank.n_exemplars")
"""Settings that a data set limits: of less it has enough."""


def check_noisy_images(config: TrialConfig, data: DataInfo) -> None:
    """Check the noisy images that something is trained on.

    Raises:
        InputError: too few to hold out some, or a distortion that fails.
        DataLimitError: more images than there are.
    """
    if config.finetune.method not in UNLABELLED:
        check_held_out(config.distortion.n_images, config.finetune.select_by)
    _check_distortion(config.distortion, data)
    check_images(config, data)


def _check_distortion(distortion: DistortionSettings, data: DataInfo) -> None:
    """Try a distortion on a blank image."""
    blank = torch.zeros(1, data.channels, data.image_size, data.image_size, dtype=torch.uint8)
    try:
        distort(blank, distortion.name, distortion.level, seed=0)
    except InputError:
        raise
    except Exception as error:  # a user's own raises as it likes
        raise InputError(
            f"distortion {distortion.name!r} of level {distortion.level:g} fails: {type(error).__name__}: {error}"
        ) from error


def check_images(config: TrialConfig, data: DataInfo) -> None:
    """Check that there are as many training images as are to be noisy.

    Raises:
        DataLimitError: there are fewer.
    """
    n = config.distortion.n_images
    if n > data.n_train:
        raise DataLimitError(
            f"`distortion.n_images` must be at most the {data.n_train} training images, got {n}: ask for fewer"
        )


def check_exemplars(config: TrialConfig, data: DataInfo) -> None:
    """Check that an unpaired ranking finds enough images for its exemplars, noisy ones and others.

    Raises:
        InputError: more exemplars than noisy images.
        DataLimitError: too few images that no noisy one comes from.
    """
    n, n_exemplars = config.distortion.n_images, config.rank.n_exemplars
    if n_exemplars > n:
        raise InputError(f"`rank.n_exemplars` must be at most the {n} noisy images, got {n_exemplars}")
    if n_exemplars > data.n_train - n:
        raise DataLimitError(
            f"unpaired ranking needs at least {n_exemplars} clean images that no noisy one comes from; of "
            f"{data.n_train} training images {n} are noisy: ask for fewer (`distortion.n_images`)"
        )


def may_ask_too_much(config: TrialConfig, data: DataInfo) -> bool:
    """Return whether a trial can be one that the data set is too small for; its plan says whether it is."""
    try:
        check_images(config, data)
        if config.rank.pairing == "unpaired":
            check_exemplars(config, data)
    except InputError:
        return True
    return False
