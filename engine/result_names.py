"""Every name by which results are kept, in one place: an epoch's record, an evaluation's, the study's attributes, and
MLflow's tags and metrics.

These names are read by others (optuna-dashboard, MLflow's pages, scripts on a study), and studies from before have
them: one that is changed here is changed for all of these. All errors are fractions in [0, 1].
"""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict

from engine.corruption_kinds import ALL, CLEAN, TUNED_ON
from engine.digest import digest

# ----------------------------------------------------------------------------- what stages tell while they run


class EpochRecord(TypedDict, total=False):
    """An epoch of a stage: what a training tells, and what is added on the way to the study and the tracking.

    Attributes:
        epoch: of the stage, ≥ 1. Always there.
        loss: mean over the epoch's training images.
        learning_rate: of its last step.
        validation_error: on the images that choose the best epoch, in fine-tuning noisy ones.
        validation_loss: on the same.
        probe_error: on the watched probe, by which trials are pruned.
        tuned_distortion_error: on validation images under the distortion that is trained on; only watched.
        metrics: {name: number} that a stage of a user's own measures.
        seconds: that it took.
        watch: digest of how it was watched, as ``StageSpec.watch_digest``.
        stage: the stage that told it. From here on added by the trial.
        step: of the study: epochs counted over the stages.
        value: what the study is told at this step: the probe's error.
        own: whether nobody else ever asked for the stage.
        own_watch: whether it was watched as this trial watches.
    """

    epoch: int
    loss: float
    learning_rate: float
    validation_error: float
    validation_loss: float
    probe_error: float
    tuned_distortion_error: float
    metrics: dict[str, float]
    seconds: float
    watch: str
    stage: str
    step: int
    value: float
    own: bool
    own_watch: bool


class CellsRecord(TypedDict, total=False):
    """A batch of an evaluation's cells, each the error on validation images under one (corruption, severity).

    Attributes:
        batch: its number, ≥ 1. Always there.
        first: number of its first cell, ≥ 1.
        cells: [{"corruption", "severity", "error"}].
        watch: as of an epoch; so are ``stage``, ``own`` and ``own_watch``.
    """

    batch: int
    first: int
    cells: list[dict[str, Any]]
    watch: str
    stage: str
    own: bool
    own_watch: bool


PROBE_ERROR = "probe_error"
TUNED_ERROR = "tuned_distortion_error"
VALIDATION_ERROR = "validation_error"
VALIDATION_LOSS = "validation_loss"


# ----------------------------------------------------------------------------- what an evaluation ends with


class ImagesErrors(TypedDict, total=False):
    """The errors on a split.

    Attributes:
        n_images: how many images it has.
        clean: error on them as they are.
        calibration: {"ece", "nll", "brier"} of the same, as ``engine.metrics.Calibration``; not in records from before.
        corrupted: [{"corruption", "severity", "error", "ece", "nll", "brier"}], the last three not in older ones.
        most_answered: share of the clean images that have the most frequent answer; of test images alone, as all below.
        most_labelled: share of those that have the most frequent label.
        tuned_distortion: error under the distortion that filters were tuned on; None where none were.
        sequences: [{"sequence", "frames", "difficulty", "flip_probability", "top5_distance", "zipf_distance"}], where
            answers were to be steady along some.
    """

    n_images: int
    clean: float
    calibration: dict[str, float | None]
    corrupted: list[dict[str, Any]]
    most_answered: float
    most_labelled: float
    tuned_distortion: float | None
    sequences: list[dict[str, Any]]


class EvaluationRecord(TypedDict, total=False):
    """What a trial has come to: ``errors.json`` of its last stage, and the study's attribute ``errors``.

    Attributes:
        objective: mean error over the objective's corruptions of the validation images: what trials are compared by.
        validation: on validation images.
        test: on test images: for the report, never for a choice.
        metrics: {"stage/name": number} that stages measured beside it.
        labelled_noisy: noisy images that were tuned or trained on and chosen by, as ``NoisyBudget.to_json``; or None.
    """

    objective: float
    validation: ImagesErrors
    test: ImagesErrors
    metrics: dict[str, float]
    labelled_noisy: dict[str, Any] | None


# ----------------------------------------------------------------------------- Optuna


class OfStudy:
    """User attributes of a study."""

    SPACE = "space"
    """The space as JSON."""
    SPACE_DIGEST = "space_digest"
    STUDY_SEED = "study_seed"
    OBJECTIVES = "objectives"
    """Their names, in the order of the directions."""
    STEPS = "steps"
    """What a step is: an epoch, or a cell of the evaluation."""
    EXPERIMENT = "mlflow_experiment"
    """Id of the MLflow experiment that has its runs."""
    COMMAND = "command"
    """The command that the sweep's last driver would be started by again."""
    DRIVER = "driver"
    """Who drives it: {"holder", "beat": time of the last beat}, or None."""


class OfTrial:
    """User attributes of a study's trial."""

    SLOT = "slot"
    """What it was for: "arm/NAME/REPEAT", "proposal/NUMBER" or "winner/DIGEST/REPEAT"."""
    SEED = "seed"
    GROUP = "group"
    """The arm, or "winner"; "" for a proposal."""
    SETTINGS = "settings"
    """{dotted path: value} over the space's base."""
    STAGES = "stages"
    """{stage: key}."""
    ERRORS = "errors"
    """An ``EvaluationRecord``; of complete trials."""
    REASON = "reason"
    """Why it was pruned or failed, as ``Reason.to_json``."""
    INTERRUPTED = "interrupted"
    """True of one that is run again."""
    IDENTITY = "identity"
    """What configurations share that come to the same numbers."""
    REPEAT_OF = "repeat_of"
    """Number of the earlier trial that a proposal equals."""


# ----------------------------------------------------------------------------- MLflow


class Tag:
    """Tags of runs. Runs are found by the first two."""

    STUDY = "robustune.study"
    SLOT = "robustune.slot"
    """The trial's attribute ``slot``, or "sweep" of the parent run."""
    REFUSED = "robustune.refused"
    """What of the run MLflow did not take."""
    TRIAL_NUMBER = "robustune.trial_number"
    PURPOSE = "robustune.purpose"
    """"arm", "proposal" or "winner"; of the run that stands for all of them "group", "search", or, of a winner that a
    better proposal has displaced, "displaced"."""
    GROUP = "robustune.group"
    """The arm, "winner" or "proposal"."""
    SEEDS = "seeds"
    """How many seeds of a group are complete, in words; of its run."""
    STATE = "state"
    """"COMPLETE", "PRUNED" or "FAIL"."""
    PRUNE_REASON = "prune_reason"
    FAIL_REASON = "fail_reason"
    CONFIG_DIGEST = "config_digest"
    SPACE_DIGEST = "space_digest"
    GIT_COMMIT = "git_commit"
    SOURCE = "source"
    """The program that has run the sweep."""
    NOTE = "mlflow.note.content"
    """What MLflow shows as the description."""
    LABELLED_NOISY = "labelled_noisy"
    """How many labelled noisy images the trial used, in words."""
    NETWORK = "network"
    """Of a logged model the checksum of its weights; of the sweep's run why none was logged, where one should be."""
    SCORES = "scores"
    """Why there are none, where a baseline was given."""

    @staticmethod
    def stage(name: str) -> str:
        """Return the tag that has a stage's key."""
        return f"stage.{name}"

    @staticmethod
    def host(stage: str) -> str:
        """Return the tag that has the name of the machine on which a stage was computed."""
        return f"host.{stage}"

    @staticmethod
    def error(column: str) -> str:
        """Return the tag that has a cell of the report's table: a group's error in %, mean ± deviation."""
        return f"error/{column}"


class Metric:
    """Metrics of runs. Of a group's run they are the means over its seeds, with more metrics for their spread."""

    OBJECTIVE = "objective"
    CLEAN = "test/clean"
    TUNED_DISTORTION = "test/tuned_distortion"
    """On test images under the distortion that filters were tuned on."""
    MEAN_CORRUPTED = "test/mean_corrupted"
    """The mean over corruptions of their means over severities."""
    ECE = "score/ECE"
    """Expected calibration error on corrupted test images, the mean as of ``MEAN_CORRUPTED``; so are the next two."""
    NLL = "score/NLL"
    BRIER = "score/Brier"
    CLEAN_ECE = "score/clean_ECE"
    CLEAN_NLL = "score/clean_NLL"
    CLEAN_BRIER = "score/clean_Brier"
    MEAN_CE = "score/mCE"
    RELATIVE_MEAN_CE = "score/rCE"
    FLIPS = "score/FP"
    """Mean flip probability along perturbation sequences of test images, where there are some; so are the next two."""
    TOP5_DISTANCE = "score/T5D"
    FLIP_RATE = "score/mFR"
    BEST_OBJECTIVE = "best_objective"
    """Of the sweep's run."""

    N = "n"
    """Complete trials of a group; of its run, as the next three."""
    FAILED = "seeds/failed"
    MISSING = "seeds/missing"
    DEAD = "seeds/dead"

    PROBE = "probe/error"
    OTHER_PROBE = "other_probe/error"
    """Of epochs that another trial, with another probe, has run: it compares with none of this one."""

    CALIBRATION: ClassVar[dict[str, tuple[str, str]]] = {
        "ece": (CLEAN_ECE, ECE),
        "nll": (CLEAN_NLL, NLL),
        "brier": (CLEAN_BRIER, BRIER),
    }
    """{measure of a record: the metrics that show it of clean and of corrupted images}."""

    BY_EPOCH: ClassVar[dict[str, str]] = {
        "loss": "train/loss",
        "learning_rate": "train/learning_rate",
        VALIDATION_ERROR: "validation/error",
        VALIDATION_LOSS: "validation/loss",
        PROBE_ERROR: PROBE,
        TUNED_ERROR: "probe/tuned_distortion",
    }
    """{key of an epoch's record: the metric that shows it by step}."""

    @classmethod
    def first_words(cls) -> frozenset[str]:
        """Return what the names of these metrics begin with, up to their "/": no stage can be called so."""
        names = {value for name, value in vars(cls).items() if name.isupper() and isinstance(value, str)}
        names |= set(cls.BY_EPOCH.values()) | {cls.of_epoch(key, own_watch=False) for key in cls.BY_EPOCH}
        names |= {cls.corruption(""), cls.cell("", 1), cls.ce(""), cls.relative_ce(""), cls.stages("")}
        names |= {cls.std(""), cls.low(""), cls.high("")}
        return frozenset(name.partition("/")[0] for name in names)

    @staticmethod
    def of_epoch(key: str, *, own_watch: bool) -> str:
        """Return the metric of an epoch's key; what another trial's probe has measured has a name of its own."""
        metric = Metric.BY_EPOCH[key]
        return metric if own_watch else metric.replace("probe/", "other_probe/")

    @staticmethod
    def of_stage(stage: str, name: str) -> str:
        """Return the metric of what a stage of a user's own measures, by epoch or at its end."""
        return f"{stage}/{name}"

    @staticmethod
    def corruption(name: str) -> str:
        """Return the metric of a corruption's error, the mean over severities."""
        return f"test/{name}"

    @classmethod
    def of_column(cls, column: str) -> str:
        """Return the metric of a column of the report's tables."""
        known = {CLEAN: cls.CLEAN, ALL: cls.MEAN_CORRUPTED, TUNED_ON: cls.TUNED_DISTORTION}
        return known.get(column) or cls.corruption(column)

    @staticmethod
    def std(metric: str) -> str:
        """Return the metric of another's standard deviation over a group's seeds."""
        return f"std/{metric.removeprefix('test/')}"

    @staticmethod
    def low(metric: str) -> str:
        """Return the metric of the lower end of the 95 % interval of another's mean."""
        return f"low/{metric.removeprefix('test/')}"

    @staticmethod
    def high(metric: str) -> str:
        """Return the metric of the upper end of the 95 % interval of another's mean."""
        return f"high/{metric.removeprefix('test/')}"

    @staticmethod
    def cell(name: str, severity: int) -> str:
        """Return the metric of the error under a corruption at a severity."""
        return f"severity/{name}/{severity}"

    @staticmethod
    def ce(name: str) -> str:
        """Return the metric of a corruption's CE."""
        return f"score/CE/{name}"

    @staticmethod
    def relative_ce(name: str) -> str:
        """Return the metric of a corruption's relative CE."""
        return f"score/rCE/{name}"

    @staticmethod
    def flips(sequence: str) -> str:
        """Return the metric of a sequence's flip probability."""
        return f"score/FP/{sequence}"

    @staticmethod
    def stages(count: str) -> str:
        """Return the metric of one of the broker's counts, in the sweep's run."""
        return f"stages/{count}"


class RunArtifact:
    """Files of runs."""

    ANSWER = "answer.txt"
    """What the sweep has to say; of its own run, as the next two."""
    PAGE = "report.html"
    """The same as a page, with its figures."""
    ARMS_BY_SEVERITY = "figures/arms_by_severity.png"
    ERRORS = "errors.csv"
    """The raw table of a trial."""
    ERROR_BY_SEVERITY = "figures/error_by_severity.png"
    ERROR_HEAT_MAP = "figures/error_heat_map.png"
    FILTER_RANKING = "figures/filter_ranking.png"


class View:
    """Tables of MLflow that are stored beside the runs: which of them, in which order, with which columns."""

    ANSWER = "answer"
    """A row a group: the report's main table."""
    TRIALS = "trials"
    """A row a trial, the least error first."""

    @staticmethod
    def key(study: str, view: str) -> str:
        """Return the key by which an address names a study's view."""
        return f"robustune-{digest([study])[:12]}-{view}"
