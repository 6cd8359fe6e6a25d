"""The options of a sweep, the same from the command line and from Python."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import tyro

from engine import variables
from engine.conversion import convert, type_hints
from engine.digest import digest
from engine.errors import InputError, shown, unknown_name
from engine.metrics import Baseline, load_baseline
from engine.orchestration.cluster.slots import SlotRequest, check_gpus
from engine.orchestration.databases.addresses import check_sqlite, is_same_database, sqlite_url
from engine.orchestration.databases.servers import check_driver
from engine.orchestration.search.pruner_kinds import PRUNERS
from engine.orchestration.search.pruners import PrunerChoice, parse_pruner
from engine.orchestration.search.samplers import SAMPLERS, check_sampler
from engine.orchestration.tracking.mlflow_database import tracking_uri
from engine.orchestration.tracking.mlflow_tracker import NAME as MLFLOW
from engine.orchestration.tracking.trackers import TRACKERS
from engine.precision import PRECISIONS
from engine.redaction import hide_credentials
from engine.report.baseline_scores import ARM
from engine.report.study_report import check_by
from engine.report.trial_results import CORRUPTED, OBJECTIVES
from engine.spaces import Space
from engine.stages.numerics import Numerics
from engine.store.places import folder_of, place_of

_LOCAL = "local"
_WAIT_S = 90.0
_MOST_TRIALS = 100_000
"""How long ``--wait`` alone waits: a dead driver's last sign of life is to be 60 s old, and then watched for 15 s."""
_STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True)
class SweepOptions:
    """Explore a search space: Ray Tune runs the trials, Optuna proposes and prunes them, MLflow records them.

    Without any option it asks, on scikit-learn's digits, whether push–pull inhibition makes a small network hold up
    under noise, and what fine-tuning selected filters adds. Run again with the same --study it goes on where it was.
    """

    space: str = "push-pull"
    """Search space: a name (see --list), or a .py file that defines SPACE, or a .json file."""
    dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Data set, if not the space's own: digits; mnist, cifar10 or cifar100 (or cifar10:FOLDER, see ROBUSTUNE_DATA); or
    folder:PATH with train/ and test/, a folder per class in each (or to be split: --set data.test_fraction=0.2);
    imagefolder:PATH has train/ and val/, and is read as networks for ImageNet are tested, at 224 pixels."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Which classes of a folder (folder:PATH, imagefolder:PATH) are used, by their names; all, if none is given."""
    download: bool = False
    """Fetch the files of mnist, cifar10 or cifar100 first, unless they are there."""
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Training recipe that replaces the base's settings it names (see --list); --set comes on top."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to start from in place of pretraining: the push-pull authors' or another file of a CIFAR ResNet or
    DenseNet, which decides the architecture, or one with the names of the space's network (torch's or safetensors);
    default or an entry's name (IMAGENET1K_V1) for those that torchvision, timm or RobustBench
    publish for a network of theirs."""
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="PATH=VALUE ...")] = ()
    """Settings of the space's base to change, such as pretrain.epochs=20 data.n_train=5000."""
    n_trials: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Trials in all: the space's arms on every seed, then proposals, last the best proposal on the arms' seeds. If not
    given, what suits the space (--dry-run says how many): all arms; ten proposals, or as many as there are in a grid or
    in a small space; and the best one's repeats."""
    sampler: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What proposes trials: tpe, random, cma-es, gp, qmc, nsga-ii or grid, or one that --import brings (see --list); if
    not given tpe, and nsga-ii for several objectives."""
    pruner: str = "median"
    """What stops hopeless trials early: none, median, percentile, successive-halving, hyperband, threshold:BOUND or
    wilcoxon, or one that --import brings (see --list). Several objectives are never pruned on."""
    objectives: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (CORRUPTED,)
    """What trials are compared by, on validation images: corrupted, or clean corrupted for both (a Pareto front)."""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """What the errors on the benchmark's corruptions are also given as ratios to (CE, mCE, rCE): alexnet-paper,
    alexnet-imagenet-c, a .csv or .json file of errors, or arm:NAME for an arm of the space."""
    seed: int = 0
    """Seed of the study; the seeds of the repeats are derived from it."""
    study: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Name of the study; derived from space, data set and search if not given. An unfinished one is resumed."""
    retry_failed: bool = False
    """Run the trials again that failed, with the settings that they had. Those that machines, store or network ended
    are run again in any case."""
    wait: Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="[SECONDS]")] = None
    """Wait for the end of another driver that has the study, instead of being refused: of one that died on another
    machine a moment ago, say, whose last sign of life has to be a minute old. 90 s without a number."""
    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """Folder for everything that is written: optuna.db, mlflow.db, mlartifacts/, store/, reports/, logs."""
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = variables.or_variable(variables.STORAGE)
    """Optuna storage URL; sqlite in HOME if not given."""
    tracker: Annotated[str, tyro.conf.arg(metavar="NAME")] = "mlflow"
    """What the trials' runs are written to: mlflow, or one that --import brings (see --list)."""
    tracking_uri: Annotated[str | None, tyro.conf.arg(metavar="URI")] = variables.or_variable(variables.TRACKING)
    """Where that is: for MLflow sqlite:///FILE, or http://HOST:PORT of a server; sqlite in HOME if not given."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where the stages' artifacts are, shared by sweeps (and by all nodes of a cluster): a folder, or a bucket, which
    needs no shared file system: s3://BUCKET/PREFIX, gs://… or az://…; HOME/store if not given."""
    store_max_gb: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """Size in gigabytes (10⁹ bytes) that the store may have: while the sweep runs, what was not used for longest and no
    live sweep needs is removed beyond it. No limit if not given."""
    ray_address: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = variables.or_variable(variables.CLUSTER)
    """Address of a running Ray cluster, HOST:PORT or auto; a private Ray on this machine if not given, as with
    "local"."""
    slots: Annotated[int | None, tyro.conf.arg(metavar="N")] = variables.or_variable(variables.SLOTS, int)
    """Stages that run at once; as many as cores (or GPUs, if there are any) allow if not given."""
    cpus_per_slot: int = variables.or_variable(variables.CPUS_PER_SLOT, int, 1)
    """Cores of each slot, which are also its threads. On CPUs another number gives other last digits, and finds none of
    the stages in the store."""
    gpus_per_slot: Annotated[float | None, tyro.conf.arg(metavar="X")] = variables.or_variable(
        variables.GPUS_PER_SLOT, float
    )
    """GPUs of each slot, such as 0.25; 1 where the cluster has GPUs if not given, 0 to compute on CPUs."""
    precision: Annotated[str, tyro.conf.arg(metavar="NAME")] = "fp32"
    """What networks compute in, a part of the stages' keys: fp32; on GPUs tf32, with products of rounded factors; or
    bf16. Losses, weights and corruptions are of 32 bits in any case."""
    strict: bool = False
    """On GPUs, repeat every stage to the bit, a resumed one too, and refuse what cannot: slower. A part of the keys."""
    capture_steps: bool = False
    """On GPUs, record a training's step once and replay it. A part of the keys. Never tried on a real GPU yet, and so
    off by itself; what cannot be recorded is computed as without."""
    compile_steps: bool = False
    """Have torch.compile compile a training's passes through its network. A part of the keys. For long trainings: the
    first of each network in a process waits for the compiler, for the seconds that its result says. Never tried on a
    real GPU yet, and so off by itself; what cannot be compiled is computed as without."""
    fold_batch_norm: bool = False
    """Test networks with their batch normalisations in the convolutions before them, which comes to other last digits.
    A part of the keys of tests. Never tried on a real GPU yet, and so off by itself; a network that cannot be folded is
    tested as it is, and the reason is in its errors.json."""
    mps: bool = False
    """Let slots that share a GPU compute on it at once, through NVIDIA's multi-process service, which is started for
    this sweep on this machine. Never tried on a real GPU yet, and so off by itself."""
    trials_in_flight: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Trials that are open at once; enough to keep the slots busy if not given."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = field(default=())
    """Modules of yours that register models, data sets, distances, samplers, pruners, trackers and so on."""
    by: Annotated[str, tyro.conf.arg(metavar="NAME")] = "kind"
    """What the answer's tables have a column for: kind of corruption (noise, blur, …), or corruption for each alone."""
    dry_run: bool = False
    """Only print what would be run: the trials, their stages, and how much work sharing saves."""
    list: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="WHAT ...")] = None
    """Only list what exists: spaces, samplers, pruners, trackers, recipes, names (of data sets, models, …), settings;
    or the settings under a name, such as rank or rank.top; everything without a word."""

    def __post_init__(self) -> None:
        if isinstance(self.settings, Mapping | str):
            object.__setattr__(self, "settings", _as_words(self.settings))
        if isinstance(self.wait, int | float):
            object.__setattr__(self, "wait", (float(self.wait),))
        for name, hint in type_hints(SweepOptions).items():
            object.__setattr__(self, name, convert(getattr(self, name), hint, name))
        if self.tracker != MLFLOW and variables.source_of(self, "tracking_uri"):
            object.__setattr__(self, "tracking_uri", None)  # MLflow's own variable is for no other tracker

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> SweepOptions:
        """Return the options of {name: value}, as ``run_sweep`` gets them.

        Raises:
            InputError: a name that no option has (with the nearest, or what it is called here), or a value of another
                type.
        """
        known = [item.name for item in dataclasses.fields(cls) if item.name not in COMMAND_ONLY]
        for name in options:
            if name in COMMAND_ONLY:
                raise InputError(f"option {name!r} is for the command line alone: in Python a sweep is run")
            if name in FLAGS:
                raise InputError(f"option {name!r} of the command line is {FLAGS[name]!r} in Python")
            if name not in known:
                raise unknown_name("option", name, known)
        return cls(**{name: value for name, value in options.items() if value is not None})

    def check(self) -> None:
        """Check every option that can be checked alone.

        Raises:
            InputError: what is wrong, its value, and what is allowed.
        """
        self.check_values()
        self._check_databases()
        check_by(self.by)

    def check_values(self) -> None:
        """Check the options whose values show what is wrong; no database is looked at.

        Raises:
            InputError: what is wrong, its value, and what is allowed.
        """
        for name, least in (("n_trials", 1), ("cpus_per_slot", 1), ("slots", 1), ("trials_in_flight", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{variables.called(self, name)} must be ≥ {least}, got {value}")
        if self.n_trials is not None and self.n_trials > _MOST_TRIALS:
            raise InputError(f"--n-trials must be at most {_MOST_TRIALS:,}, got {shown(self.n_trials)}")
        for name in ("storage", "tracking_uri", "ray_address", "dataset", "recipe", "baseline"):
            if getattr(self, name) == "":
                raise InputError(f"--{name.replace('_', '-')} is empty; leave it out for its default")
        if self.gpus_per_slot is not None:
            check_gpus(self.gpus_per_slot, variables.called(self, "gpus_per_slot"))
        if self.wait is not None and (len(self.wait) > 1 or not 0 <= self.wait_s < math.inf):
            raise InputError(f"--wait takes one number of seconds ≥ 0, got {' '.join(map(str, self.wait))}")
        if self.store_max_gb is not None and not 0 < self.store_max_gb < math.inf:
            raise InputError(f"--store-max-gb must be > 0, got {self.store_max_gb}")
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        folder_of(self.home, "--home")
        if self.store is not None:
            place_of(self.store, "--store")
        if self.study is not None and not _STUDY.fullmatch(self.study):
            raise InputError(f"--study has letters, digits, '.', '-' and '_', got {self.study!r}")
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise unknown_name("objective", name, OBJECTIVES)
        if CORRUPTED not in self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise InputError(
                f"--objectives has each name once and {CORRUPTED!r} among them: the winner is chosen by it, "
                f"got {' '.join(self.objectives) or 'none'}"
            )

    def check_names(self) -> None:
        """Check the names that a user's modules may have added to; they must have been imported.

        Raises:
            InputError: an unknown name, or a package that is missing.
        """
        check_sampler(self.sampler_name)
        _ = self.search_pruner
        if self.tracker not in TRACKERS:
            raise unknown_name("tracker", self.tracker, TRACKERS)

    def _check_databases(self) -> None:
        check_sqlite(self.storage_url, "Optuna")
        check_driver(self.storage_url)
        if (
            self.tracks_by_mlflow
            and "://" in self.tracking_url
            and is_same_database(self.storage_url, self.tracking_url)
        ):
            raise InputError(
                "--storage and --tracking-uri name one database, got "
                f"{hide_credentials(self.storage_url)!r}: Optuna and MLflow need one each"
            )

    def load_baseline(self) -> Baseline | None:
        """Return the baseline; None without one, and for an arm, which is none before it has ended."""
        return None if self.baseline is None or self.baseline.startswith(ARM) else load_baseline(self.baseline)

    @property
    def objective_names(self) -> tuple[str, ...]:
        """Return the objectives in their fixed order."""
        return tuple(name for name in OBJECTIVES if name in self.objectives)

    @property
    def sampler_name(self) -> str:
        """Return the sampler: the one given, or the objectives' own."""
        return self.sampler or ("nsga-ii" if len(self.objectives) > 1 else "tpe")

    @property
    def pruner_name(self) -> str:
        """Return the pruner: several objectives have none."""
        return self.pruner if len(self.objectives) == 1 else "none"

    @cached_property
    def search_pruner(self) -> PrunerChoice:
        """Return the pruner as a value; what is given is looked at even where several objectives have none.

        Raises:
            InputError: see ``parse_pruner``.
        """
        given = parse_pruner(self.pruner)
        return given if self.pruner_name == self.pruner else parse_pruner(self.pruner_name)

    @property
    def wait_s(self) -> float:
        """Return how long another driver's end is waited for, in seconds."""
        return 0.0 if self.wait is None else sum(self.wait) if self.wait else _WAIT_S

    def numerics(self, device: str) -> Numerics:
        """Return what stages' numbers depend on beside settings, on a type of device."""
        return Numerics(
            device,
            self.cpus_per_slot,
            self.precision,
            self.strict,
            self.capture_steps,
            self.compile_steps,
            self.fold_batch_norm,
        )

    @property
    def slot_request(self) -> SlotRequest:
        """Return the slots that are asked for."""
        return SlotRequest(self.slots, self.cpus_per_slot, self.gpus_per_slot)

    @property
    def cluster_address(self) -> str | None:
        """Return the address of the Ray cluster; None for a private Ray, which Ray calls "local"."""
        return None if self.ray_address in (None, _LOCAL) else self.ray_address

    @property
    def storage_url(self) -> str:
        """Return the Optuna storage."""
        return self.storage or sqlite_url(self.home.absolute() / "optuna.db")

    @property
    def tracking_url(self) -> str:
        """Return the MLflow tracking URI."""
        return tracking_uri(self.home, self.tracking_uri)

    @property
    def tracks_by_mlflow(self) -> bool:
        """Return whether the tracker is MLflow."""
        return self.tracker == MLFLOW

    @property
    def store_place(self) -> str:
        """Return where the store is."""
        return place_of(self.store or self.home / "store", "--store")

    def study_name(self, space: Space) -> str:
        """Return the study's name: the one given, or one that changes with whatever changes the trials."""
        if self.study is not None:
            return self.study
        search: list[Any] = [space.digest, self.sampler_name, self.pruner_name, self.seed]
        if len(self.objectives) > 1:
            search.append(self.objective_names)
        if space.axes:
            search.append("proposals on a seed of their own")  # studies from before are others
        own = (SAMPLERS.source_digest(self.sampler_name), PRUNERS.source_digest(self.search_pruner.name))
        search += [source for source in own if source is not None]  # a user's code that has changed proposes others
        return f"{space.name}-{digest(search)[:8]}"


def _as_words(settings: Mapping[str, Any] | str) -> tuple[str, ...]:
    """Return settings that are given as {path: value}, or one of them, as the words of ``--set``."""
    if isinstance(settings, str):
        return (settings,)
    try:
        return tuple(f"{path}={json.dumps(value)}" for path, value in settings.items())
    except TypeError as error:
        raise InputError(f"`settings` has a value that is no setting's: {error}") from error


COMMAND_ONLY = ("dry_run", "list")
"""Options that only print."""

FLAGS = {"set": "settings", "import": "imports"}
"""{what the command line calls an option: its name in Python}, where these differ."""


def sweep_command(options: SweepOptions) -> str:
    """Return the command that asks for the same, its defaults left out; credentials in addresses are hidden."""
    default, called = SweepOptions(), {name: flag for flag, name in FLAGS.items()}
    words = ["python", "-m", "pipelines.sweep", "--space", options.space]
    for item in dataclasses.fields(options):
        name, value = item.name, getattr(options, item.name)
        is_said = value != getattr(default, name) or variables.source_of(options, name)
        if name in (*COMMAND_ONLY, "space") or not is_said or value is None:
            continue
        flag = f"--{called.get(name, name).replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, *(hide_credentials(str(word)) for word in (value if isinstance(value, tuple) else [value]))]
    return shlex.join(words)


def as_params(options: SweepOptions) -> dict[str, Any]:
    """Return what a record should say of the options; locations may hold credentials and stay out."""
    names = ("seed", "slots", "cpus_per_slot", "gpus_per_slot", "precision")
    search = {
        "sampler": options.sampler_name,
        "pruner": options.pruner_name,
        "objectives": " ".join(options.objective_names),
    }
    baseline = {} if options.baseline is None else {"baseline": options.baseline}
    return {name: getattr(options, name) for name in names} | search | baseline
