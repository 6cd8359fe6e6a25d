"""What a trial is: frozen, self-checking settings that round-trip through JSON and have a digest.

Defaults live here only. A setting has a dotted path ("push_pull.h"); spaces, arms and the command line use those paths.
The docstrings are what `--list settings`, errors and docs/settings.md say of a setting: its meaning with its unit, the
range of a number ("≥ 1", "in (0, 1]"), what None means. `engine.relevance` says which matter only under others.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from engine.conversion import BY_OTHER_PATHS, Leaf, build, convert_setting, flatten, leaves, settings_fields
from engine.digest import digest
from engine.errors import InputError, refused, unknown_name, unknown_setting
from engine.sections import (
    SECTIONS,
    Remembered,
    checked_sections,
    is_remembered,
    remember_sections,
    section_leaves,
    section_tree,
)

Which = Literal["most", "least", "random", "all", "none"]
Method = Literal["filters", "correction", "network", "classifier", "retrain", "statistics", "tent"]
Place = Literal["convolution", "normalisation", "activation"]
Unit = Literal["filter", "layer", "block"]
SelectBy = Literal["held-out", "validation"]
Augmentation = Literal["none", "crop-flip", "crop-alternate"]


def _require(condition: bool, name: str, allowed: str, value: object) -> None:
    if not condition:
        raise refused(name, allowed, value)


@dataclass(frozen=True)
class DataSettings:
    """Which images, and how they are set apart.

    Attributes:
        name: a registered data set, with its argument after a colon ("digits", "folder:PATH", "imagefolder:PATH").
        image_size: side in pixels that images are resized to, ≥ 4; None for the data set's own.
        channels: colour channels, one of 1, 3; None for the data set's own.
        n_train: how many training images are used at most, once validation is set apart, ≥ 2; None for all.
        n_validation: how many validation images are used at most, ≥ 2; None for all.
        n_test: how many test images are used at most, ≥ 2; None for all.
        validation_fraction: share of the training images set apart for validation, in (0, 1).
        split_seed: seed by which validation images are set apart and limits drawn, ≥ 0; trials of a sweep share it.
        corruption_files: a folder in CIFAR-10-C's format that has the corrupted test images; None to make them. Of the
            validation images, corrupted ones are made in any case.
        sequence_files: a folder in CIFAR-10-P's format that has the perturbation sequences of the test images (see
            ``evaluate.sequences``); None to make them.
        test_fraction: share of each class's images that are set apart as test images, in (0, 1), drawn by
            ``split_seed``: of a folder that has no ``train/`` and ``test/``. None for a folder that has them, and for
            all other data sets.
        value_range: black and white, two numbers: which values of a folder's images of more than 8 bits become 0 and
            255. None to know it by the values themselves.
        classes: which of a folder's classes are used, by the names of their folders, two at least; None for all.
    """

    name: str = "digits"
    image_size: int | None = None
    channels: int | None = None
    n_train: int | None = None
    n_validation: int | None = None
    n_test: int | None = None
    validation_fraction: float = 0.2
    split_seed: int = 0
    corruption_files: str | None = None
    sequence_files: str | None = None
    test_fraction: float | None = None
    value_range: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _require(self.split_seed >= 0, "data.split_seed", "≥ 0", self.split_seed)
        _require(0 < self.validation_fraction < 1, "data.validation_fraction", "in (0, 1)", self.validation_fraction)
        _require(self.image_size is None or self.image_size >= 4, "data.image_size", "≥ 4 or None", self.image_size)
        _require(self.channels in (None, 1, 3), "data.channels", "1, 3 or None", self.channels)
        for name in ("n_train", "n_validation", "n_test"):
            value = getattr(self, name)
            _require(value is None or value >= 2, f"data.{name}", "≥ 2 or None", value)
        share, ends = self.test_fraction, self.value_range
        _require(share is None or 0 < share < 1, "data.test_fraction", "in (0, 1) or None", share)
        is_range = ends is None or (len(ends) == 2 and all(map(math.isfinite, ends)) and ends[0] < ends[1])
        _require(is_range, "data.value_range", "[black, white] with black < white, both finite, or None", ends)
        few = self.classes is not None and len(set(self.classes)) < 2
        _require(not few, "data.classes", "two names of classes or more, or None", self.classes)


@dataclass(frozen=True)
class ModelSettings:
    """The network.

    Attributes:
        name: a registered network ("resnet-20"; ``--list names`` has all), or a library's: "torchvision:resnet18",
            "timm:NAME", "robustbench:NAME".
        width: filters of the first layers, for families of networks that have it, ≥ 1; None for the family's own.
        weights: key in the store of the weights that it starts from instead of being pretrained (``--init`` puts a
            file's or published ones there); None to pretrain.
    """

    name: str = "resnet-8"
    width: int | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        _require(self.width is None or self.width >= 1, "model.width", "≥ 1 or None", self.width)
        valid = self.weights is None or re.fullmatch("[0-9a-f]{16,64}", self.weights) is not None
        _require(valid, "model.weights", "a key in the store (give the file by --init) or None", self.weights)


@dataclass(frozen=True)
class PushPullSettings:
    """Which layers carry push–pull inhibition, and how (push–pull paper, section 3.1, or its successor of 2024).

    Attributes:
        where: which layers carry it: "none", "first", "first_block", "all", or names joined by commas, of layers, of
            the blocks that they are in ("layer1"), or patterns ("layer*.0.conv1"); of blocks and patterns, kernels of a
            single pixel, as shortcuts have them, are left alone.
        h: upsampling factor of the pull kernel, ≥ 1; it acts through the pull kernel's odd side alone.
        alpha: inhibition strength, ≥ 0; where it is learned, the value that it starts from.
        learn_alpha: whether the strength is learned, one a "layer" (of variant 2020 alone) or one a "kernel"; None for
            a fixed strength.
        variant: the paper whose layer it is: "2020" (the pull kernel is the push kernel inverted and upsampled) or
            "2024" (it is mirrored within its own range of values, its response averaged, and the bias added after the
            inhibition).
        average: side in pixels of the neighbourhood over which the pull response is averaged, one of 0, 3, 5; 0 for
            none.
    """

    where: str = "none"
    h: float = 2.0
    alpha: float = 1.0
    learn_alpha: Literal["layer", "kernel"] | None = None
    variant: Literal["2020", "2024"] = "2020"
    average: int = 3

    def __post_init__(self) -> None:
        _require(
            bool(self.where.strip()), "push_pull.where", "none, first, first_block, all or layer names", self.where
        )
        _require(math.isfinite(self.h) and self.h >= 1, "push_pull.h", "finite and ≥ 1", self.h)
        _require(self.average in (0, 3, 5), "push_pull.average", "0, 3 or 5", self.average)
        _require(math.isfinite(self.alpha) and self.alpha >= 0, "push_pull.alpha", "finite and ≥ 0", self.alpha)
        if self.variant == "2024" and self.learn_alpha == "layer":
            raise InputError(
                "`push_pull.variant`=2024 learns a strength for each kernel: `push_pull.learn_alpha` must be kernel or "
                "none with it, got layer"
            )


@dataclass(frozen=True)
class TrainingSettings:
    """How a network, or a part of it, is trained.

    Attributes:
        epochs: passes over the training images, ≥ 1.
        batch_size: images a step, ≥ 2.
        optimizer: "adam" (its standard betas) or "sgd" (Nesterov momentum).
        learning_rate: the highest rate of the schedule, > 0.
        schedule: how the learning rate goes: "constant", "one-cycle" (cosine up and down) or "step" (÷ 10 at
            ``milestones``).
        milestones: shares of the epochs at which "step" divides, each in (0, 1).
        momentum: momentum of "sgd", in [0, 1).
        weight_decay: L2 penalty of everything but learned inhibition strengths of 2020, ≥ 0.
        label_smoothing: share of a label that is spread over all classes, in [0, 1).
        max_gradient_norm: Euclidean norm of all gradients together, > 0, that a step's are shortened to where they are
            longer; None for as long as they are.
        patience: epochs without a better validation result before training stops, ≥ 1; None for never.
        augmentation: what training images undergo: "none", "crop-flip" (reflect-pad by an eighth, random crop,
            horizontal flip) or "crop-alternate" (the same crop; half of the images are flipped in the first epoch, the
            other half in the next, and so on by turns).
    """

    epochs: int = 8
    batch_size: int = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 3e-3
    schedule: Literal["constant", "one-cycle", "step"] = "one-cycle"
    milestones: tuple[float, ...] = (0.4, 0.6, 0.8)
    momentum: float = 0.9
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    max_gradient_norm: float | None = None
    patience: int | None = None
    augmentation: Augmentation = "none"

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", "≥ 1", self.epochs)
        _require(self.batch_size >= 2, "batch_size", "≥ 2", self.batch_size)
        _require(
            math.isfinite(self.learning_rate) and self.learning_rate > 0, "learning_rate", "> 0", self.learning_rate
        )
        _require(all(0 < share < 1 for share in self.milestones), "milestones", "in (0, 1)", self.milestones)
        _require(0 <= self.momentum < 1, "momentum", "in [0, 1)", self.momentum)
        _require(math.isfinite(self.weight_decay) and self.weight_decay >= 0, "weight_decay", "≥ 0", self.weight_decay)
        longest = self.max_gradient_norm
        valid = longest is None or (math.isfinite(longest) and longest > 0)
        _require(valid, "max_gradient_norm", "> 0 or None", longest)
        _require(0 <= self.label_smoothing < 1, "label_smoothing", "in [0, 1)", self.label_smoothing)
        _require(self.patience is None or self.patience >= 1, "patience", "≥ 1 or None", self.patience)


@dataclass(frozen=True)
class PerturbationSettings:
    """What pretraining images undergo behind ``pretrain.augmentation``, so that a network holds up.

    Attributes:
        kind: "none", "noise" (a part of each batch gets Gaussian noise), "augmix" (the network sees each image and two
            mixtures of chains of operations on it, and is to answer alike: three passes a step) or "prime" (the same by
            random filters, colours and deformations).
        sigmas: standard deviations of the noise (images in 0…1), each > 0; every noisy image draws one.
        share: share of a batch that gets noise, in (0, 1].
        severity: the highest level of AugMix's operations, in [0.1, 10]; published are 3 for CIFAR and 1 for ImageNet.
        consistency: weight of AugMix's and PRIME's Jensen–Shannon divergence, ≥ 0; 0 for one mixture in the place of
            the image.
        strengths: of PRIME's transforms, as published for "cifar" or for "imagenet".
    """

    kind: Literal["none", "noise", "augmix", "prime"] = "none"
    sigmas: tuple[float, ...] = (0.1,)
    share: float = 0.5
    severity: float = 3.0
    consistency: float = 12.0
    strengths: Literal["cifar", "imagenet"] = "cifar"

    def __post_init__(self) -> None:
        valid = bool(self.sigmas) and all(math.isfinite(sigma) and sigma > 0 for sigma in self.sigmas)
        _require(valid, "perturbation.sigmas", "at least one, finite and > 0", self.sigmas)
        _require(0 < self.share <= 1, "perturbation.share", "in (0, 1]", self.share)
        _require(0.1 <= self.severity <= 10, "perturbation.severity", "in [0.1, 10]", self.severity)
        valid = math.isfinite(self.consistency) and self.consistency >= 0
        _require(valid, "perturbation.consistency", "finite and ≥ 0", self.consistency)


@dataclass(frozen=True)
class DistortionSettings:
    """What the noisy images suffered, and how many there are (filter paper, sections 4.2 and 5.2).

    Attributes:
        name: a registered distortion ("awgn", "blur", …; ``--list names`` has all).
        level: the distortion's level in its own unit (awgn: σ of 255; blur: σ in pixels), > 0.
        n_images: labelled noisy training images at hand, ≥ 2. The ranking, which reads no label, uses all of them;
            fine-tuning trains on those that ``finetune.select_by`` leaves it.
    """

    name: str = "awgn"
    level: float = 25.0
    n_images: int = 200

    def __post_init__(self) -> None:
        _require(math.isfinite(self.level) and self.level > 0, "distortion.level", "finite and > 0", self.level)
        _require(self.n_images >= 2, "distortion.n_images", "≥ 2", self.n_images)


@dataclass(frozen=True)
class RankSettings:
    """How filters are ranked: by what a distortion does to their maps (filter paper, sections 3.2, 3.4), or otherwise.

    Attributes:
        by: what ranks filters, layers or blocks: their "maps"; or, of the labelled noisy images that are trained on,
            the "gradient" (its norm over that of the weights, mean over batches: Lee et al. 2023) or Fisher
            information, "fisher" (the squared gradient of an image's log-likelihood, mean over images and weights).
        batch_size: images whose mean loss has one gradient, ≥ 1.
        distance: a registered distance between the clean and the noisy activation map (``--list names`` has all).
        at: where a layer's maps are taken: behind its "convolution", its "normalisation" or its "activation".
        election: a registered rule that turns the images' distances into one ranking (``--list names`` has all).
        top: places that get points in an image's vote (Algorithm 1), in [1, 2**31).
        pairing: what is compared: "paired" (clean and noisy version of one image) or "unpaired" (exemplars of each
            set).
        features: what exemplars are chosen on: "pixels", the "maps" of each ranked layer itself, those of the layer of
            this name, or nothing: at "random", as a control.
        metric: distance between features by which exemplars are chosen: "euclidean", or "hamming" on which of them are
            above 0.
        n_exemplars: exemplars of each set, ≥ 1.
    """

    by: Literal["maps", "gradient", "fisher"] = "maps"
    batch_size: int = 64
    distance: str = "emd_1d"
    at: Place = "activation"
    election: str = "borda"
    top: int = 10
    pairing: Literal["paired", "unpaired"] = "paired"
    features: str = "pixels"
    metric: Literal["euclidean", "hamming"] = "euclidean"
    n_exemplars: int = 1

    def __post_init__(self) -> None:
        _require(self.batch_size >= 1, "rank.batch_size", "≥ 1", self.batch_size)
        _require(1 <= self.top < 2**31, "rank.top", "in [1, 2**31)", self.top)
        _require(self.n_exemplars >= 1, "rank.n_exemplars", "≥ 1", self.n_exemplars)


@dataclass(frozen=True)
class FinetuneSettings:
    """What of a network is fine-tuned on noisy images, and how (filter paper, section 3.3).

    Attributes:
        which: whose filters are tuned: the "most" or "least" affected ones, "random" ones, "all", or "none" (no
            fine-tuning at all).
        method: what is tuned of them: the "filters" themselves, or "correction" units put behind them (the idea of
            DeepCorrect, Borkar and Karam 2019). Or what it is compared with: the whole "network", its "classifier"
            alone, or "retrain", a network from random weights trained on the noisy images alone as ``pretrain`` says.
            Or, without labels, of a network with batch normalisation: its running "statistics" are made those of all
            ``distortion.n_images`` noisy images, and with "tent" γ and β then lessen the entropy of its answers to them
            (Wang et al. 2021; its last epoch is kept). For these five ``which`` says nothing, but must not be "none".
        unit: what is chosen and tuned as one: a "filter"; a "layer", any convolution or linear one with all that it
            has; or a "block", a part of the network such as a residual stage, to whose first one the stem belongs: all
            blocks together are the whole network. ``which`` and the settings of how many are then of these.
        layers: layers whose filters may be tuned: "first", "all", "first-K", or names joined by commas, of layers, of
            blocks that have some, such as "layer1", or patterns ("layer*.0.conv1"). With another ``unit``, the layers
            or blocks themselves.
        fraction: share of the filters that is tuned, in (0, 1]; this, ``count`` or ``threshold`` is given.
        count: number of filters that are tuned, ≥ 1.
        threshold: mean distance, ≥ 0, above which filters count as affected (with another ``rank.by``, what it
            measures); their number is known after the ranking, and "least" and "random" take as many of each layer.
        across_layers: whether the filters of all ``layers`` stand in one election, and ``fraction`` or ``count`` is of
            them together; else each layer elects its own, and ``fraction`` or ``count`` is of each.
        batch_norm: what of batch normalisation is tuned: nothing ("frozen"), or γ and β ("affine") of the selected
            filters or the whole network, or ("full", of the whole network alone) its running statistics as well.
        train_classifier: whether the last linear layer is tuned beside the filters.
        rates: whether the learning rate is "equal" for all that is tuned, or by the "gradient": before each epoch
            multiplied, for each filter or, of layers and blocks, each tensor, by the relative norm of its gradient over
            the largest one (Auto-RGN, Lee et al. 2023). γ and β then have none.
        select_by: which labelled noisy images choose the best epoch, and end the training by its patience: "held-out",
            every fifth of ``distortion.n_images`` (five are the fewest then), which is not trained on; or "validation",
            all validation images with the distortion, as many labels more than ``distortion.n_images``. For every
            method that reads labels.
        training: the training of what is tuned.
    """

    which: Which = "none"
    method: Method = "filters"
    unit: Unit = "filter"
    layers: str = "all"
    fraction: float | None = 0.25
    count: int | None = None
    threshold: float | None = None
    across_layers: bool = False
    batch_norm: Literal["frozen", "affine", "full"] = "frozen"
    train_classifier: bool = False
    rates: Literal["equal", "gradient"] = "equal"
    select_by: SelectBy = "held-out"
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=6, learning_rate=1e-3, schedule="constant", patience=15)
    )

    def __post_init__(self) -> None:
        sizes = {name.rpartition(".")[2]: getattr(self, name.rpartition(".")[2]) for name in SIZES}
        if sum(size is not None for size in sizes.values()) != 1:
            got = ", ".join(f"{name}={size!r}" for name, size in sizes.items())
            raise InputError(f"exactly one of {', '.join(f'`{name}`' for name in SIZES)} must be given, got {got}")
        _require(self.fraction is None or 0 < self.fraction <= 1, "finetune.fraction", "in (0, 1]", self.fraction)
        _require(self.count is None or self.count >= 1, "finetune.count", "≥ 1", self.count)
        valid = self.threshold is None or (math.isfinite(self.threshold) and self.threshold >= 0)
        _require(valid, "finetune.threshold", "a mean distance, finite and ≥ 0", self.threshold)
        self._check_method()

    def _check_method(self) -> None:
        """Raise ``InputError`` for settings that the method cannot honour."""
        if self.method != "filters" and self.which == "none":
            raise InputError(
                f"`finetune.method`={self.method} does nothing while `finetune.which` is none: "
                "say which filters, or all"
            )
        if self.rates == "gradient" and self.method == "filters" and self.batch_norm != "frozen":
            raise InputError(
                "`finetune.rates`=gradient has no learning rate for γ and β: "
                f"it needs `finetune.batch_norm`=frozen, got {self.batch_norm}"
            )
        if self.method == "correction" and self.unit != "filter":
            raise InputError(
                "`finetune.method`=correction puts units behind filters: "
                f"it needs `finetune.unit`=filter, got {self.unit}"
            )
        if self.batch_norm == "full" and self.method != "network":
            raise InputError(
                "`finetune.batch_norm`=full moves the statistics of all filters: "
                f"it needs `finetune.method`=network, got {self.method}"
            )
        if self.train_classifier and self.method != "filters":
            raise InputError(
                f"`finetune.train_classifier` is for `finetune.method`=filters, got {self.method}; "
                "classifier and network train it in any case, and methods without labels never"
            )


UNLABELLED = ("statistics", "tent")
"""Methods that look at no label of a noisy image."""

SIZES = ("finetune.fraction", "finetune.count", "finetune.threshold")
"""Settings of which exactly one is given: giving another drops it."""


@dataclass(frozen=True)
class EvaluateSettings:
    """What a network is tested on.

    Attributes:
        table: how strong each severity is: the tables "cifar-c", "imagenet-c" (for 224 pixels) or "digits", one that a
            module of yours registers, or "auto" for the data set's own.
        corruptions: corruptions of that table that test images undergo, of the benchmarks' tables also "c" and "c-bar"
            for those of either set; empty for its usual ones (of CIFAR-C's: "c").
        objective: corruptions of the validation images that trials are compared by; empty for the table's own, or,
            where ``corruptions`` are named, for its own of their kinds (and for those named where a kind has none).
        severities: severities of the corruptions, each in [1, 5].
        sequences: perturbation sequences of the test images along which answers should stay, as CIFAR-10-P and
            ImageNet-P have them ("rotate", "gaussian_noise", …), or "p" for the ten of these that are scored; the
            report alone has their flip probabilities.
        difficulty: of the sequences, in [1, 3]: how many frames back a frame is compared, and how strong a noise is.
        n_probe: corrupted validation images that every epoch is watched by, at most, ≥ 2: trials are pruned by them.
    """

    table: str = "auto"
    corruptions: tuple[str, ...] = ()
    objective: tuple[str, ...] = ()
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    sequences: tuple[str, ...] = ()
    difficulty: int = 1
    n_probe: int = 500

    def __post_init__(self) -> None:
        valid = bool(self.severities) and all(severity in (1, 2, 3, 4, 5) for severity in self.severities)
        _require(valid, "evaluate.severities", "from 1 to 5", self.severities)
        _require(self.difficulty in (1, 2, 3), "evaluate.difficulty", "1, 2 or 3", self.difficulty)
        _require(self.n_probe >= 2, "evaluate.n_probe", "≥ 2", self.n_probe)


@dataclass(frozen=True)
class TrialConfig:
    """One trial: everything that decides its numbers.

    Attributes:
        seed: seed of everything that is random in the trial, in [0, 2**63); a sweep derives it.
        sections: {name: settings} of the sections that a user's stages have, as pairs; of those that are missing all
            is as it is by default. The paths of their settings begin with their names ("prune.fraction").
    """

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    push_pull: PushPullSettings = field(default_factory=PushPullSettings)
    pretrain: TrainingSettings = field(default_factory=TrainingSettings)
    perturbation: PerturbationSettings = field(default_factory=PerturbationSettings)
    distortion: DistortionSettings = field(default_factory=DistortionSettings)
    rank: RankSettings = field(default_factory=RankSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    seed: int = 0
    sections: tuple[tuple[str, Any], ...] = field(default=(), metadata={BY_OTHER_PATHS: True})

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**63, "seed", "in [0, 2**63)", self.seed)
        object.__setattr__(self, "sections", checked_sections(self.sections))

    def section(self, name: str) -> Any:
        """Return the settings of a section: one of the engine's own ("rank"), or one that a user's stage has.

        Raises:
            InputError: there is no such section.
        """
        own = [item.name for item in settings_fields(type(self))]
        if name in own:
            return getattr(self, name)
        given = dict(self.sections)
        if name not in given and name not in SECTIONS:
            raise unknown_name("section of the settings", name, [*own, *SECTIONS])
        return given[name] if name in given else SECTIONS[name]()

    def with_settings(self, settings: Mapping[str, Any]) -> TrialConfig:
        """Return a copy with the settings of some dotted paths replaced; a new fraction drops the count, and so on.

        Raises:
            InputError: a path that does not exist (with the nearest), or a value that is not allowed.
        """
        flat = self.flat()
        for path, value in settings.items():
            if path not in flat:
                raise unknown_setting(path, flat)
            flat[path] = value
            if path in SIZES and value is not None:
                flat.update({other: None for other in SIZES if other not in settings})
        return type(self).from_flat(flat)

    @classmethod
    def convert(cls, path: str, value: Any) -> Any:
        """Return a setting's value as ``flat`` has it: 2.0 for a real number's 2, a list for "fog,blur".

        Raises:
            InputError: a path that does not exist, or a value that is not of its type.
        """
        known = all_leaves()
        if path not in known:
            raise unknown_setting(path, known)
        converted = convert_setting(known[path], value, path)
        return list(converted) if isinstance(converted, tuple) else converted

    def flat(self) -> dict[str, Any]:
        """Return {dotted path: value}, values as JSON knows them (tuples as lists)."""
        own = [item.name for item in settings_fields(type(self)) if item.name != "seed"]
        names = [*own, *(SECTIONS | dict(self.sections))]
        return flatten({**{name: section_tree(self.section(name)) for name in names}, "seed": self.seed})

    @classmethod
    def from_flat(cls, flat: Mapping[str, Any]) -> Self:
        """Return the configuration of {dotted path: value}; what is absent has its default."""
        nested: dict[str, Any] = {}
        for path, value in flat.items():
            *parents, leaf = path.split(".")
            node = nested
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = value
        own = [item.name for item in settings_fields(cls)]
        others = {name: nested.pop(name) for name in list(nested) if name not in own}
        sections = tuple((name, _section(name, values)) for name, values in others.items())
        return dataclasses.replace(build(cls, nested), sections=sections)

    @classmethod
    def from_record(cls, flat: Mapping[str, Any]) -> Self:
        """Return ``from_flat`` of what was written by a process that may have had modules which this one has not.

        The settings of their stages are kept as they are.
        """
        remember_sections(flat, known=[item.name for item in settings_fields(cls)])
        return cls.from_flat(flat)

    @property
    def digest(self) -> str:
        """Return a hash of all settings (12 hexadecimal digits)."""
        return digest(self.flat())[:12]


def all_leaves() -> dict[str, Leaf]:
    """Return {dotted path: setting} of a trial: the engine's own, and those of the sections that are registered."""
    return leaves(TrialConfig) | section_leaves()


def _section(name: str, values: Any) -> Any:
    """Return a section that is not the engine's own, of nested values."""
    if name in SECTIONS and isinstance(values, Mapping):
        try:
            return build(SECTIONS[name], values, f"{name}.")
        except InputError:
            raise
        except Exception as error:  # a user's own raises as it likes
            raise InputError(f"the settings of {name!r} cannot be: {error}") from error
    if is_remembered(name) and isinstance(values, Mapping):
        return Remembered.of(flatten(values))
    path = next(iter(flatten({name: values})), name)
    raise unknown_setting(path, all_leaves())
