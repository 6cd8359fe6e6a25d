"""One network, one table: ``python -m pipelines.evaluate``."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from engine import variables
from engine.conversion import home_found
from engine.corruption_kinds import C_BAR, kind_of
from engine.data import DataInfo
from engine.errors import InputError, writing
from engine.explanation import as_typed
from engine.exporting.exported import WEIGHTS, exported_settings, read_config
from engine.extensions import parse_settings
from engine.figures.saving import require_folder
from engine.metrics import Baseline, corruption_scores, load_baseline
from engine.metrics.scores import rows_to_table
from engine.models.libraries import is_of_library
from engine.report.error_grid import error_grid
from engine.report.flip_tables import flip_grid
from engine.report.leaderboard import check_files, check_tested, read_fields, write_leaderboard
from engine.report.network_summary import summary_rows, summary_table
from engine.report.terminal import make_console, say
from engine.settings import TrialConfig
from engine.stages import check_weights, data_getter, plan_trial, prepare_data, prepare_weights, run_chain
from engine.stages.given_weights import FILES, networks_of
from engine.stages.plan_evaluation import left_out
from engine.store import Store, open_store
from pipelines._command_line import ComputeOptions, run
from pipelines._progress import stage_bar, waiting
from pipelines.trial import without_effect, write_errors

SECTIONS = ("data", "evaluate", "model", "push_pull")
"""Whose settings matter to a network that is only tested."""
FORMATS = (".csv", ".json")


@dataclass(kw_only=True)
class EvaluateOptions(ComputeOptions):
    """Test one network, as it is, on clean and on corrupted images: its errors by corruption and severity.

    Nothing is trained. What was computed once is found again in the store.

    Example: python -m pipelines.evaluate --network exported --dataset digits
    """

    network: Annotated[str, tyro.conf.arg(metavar="WHAT")]
    """A folder that `pipelines.export` has written; a file of weights that tells its network (a CIFAR ResNet or
    DenseNet); or a network's name, whose weights --init has, such as torchvision:resnet18, timm:NAME or
    robustbench:DATASET/THREAT/NAME."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The weights of a network that is given by its name: a file, torch's or safetensors; or of a
    library's the name of published ones (IMAGENET1K_V1), default if nothing is said."""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Also give CE, mCE and rCE against it: alexnet-paper, alexnet-imagenet-c, or a .csv or .json file of errors, as
    --output writes them."""
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="PATH=VALUE ...")] = field(default=())
    """Settings to change: of data, evaluate, model and push_pull, such as data.n_test=1000 evaluate.severities=1,5."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the errors: .csv, one a line, or .json, with the scores and the network; both can be a baseline."""
    leaderboard: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE ...")] = field(default=())
    """Also write what RobustBench's leaderboard against corruptions takes, of the published CIFAR-10-C or CIFAR-100-C
    whole (--set data.corruption_files=FOLDER): NAME.json, the network's entry, and NAME.csv, its accuracies by cell."""
    entry: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE ...")] = field(default=())
    """What the leaderboard's entry says and nothing measures: link, name (the paper's), authors, additional_data,
    venue, architecture, reported, footnote; what is not given is null in it."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where what is computed goes, if not into HOME/store: a folder, or s3://BUCKET/PREFIX, gs://… or az://…"""


def main(options: EvaluateOptions) -> int:
    """Test the network, print its table and write what is asked for."""
    console = make_console()
    given = check_options(options)
    fields = read_fields(options.entry)
    device = options.set_up()
    baseline = None if options.baseline is None else load_baseline(options.baseline)
    store = open_store(options.store or options.home / "store")
    settings, notes = network_settings(options, store, given)
    config = TrialConfig().with_settings({**settings, **given, "finetune.which": "none"})
    with waiting(console, "reading the data set"):
        info, _ = prepare_data(config.data, store, download=options.download)
    check_shape(options.network, info)
    plan = plan_trial(config, info, device=device.type, threads=torch.get_num_threads())
    check_weights(plan, store)
    tested = plan.judged.settings
    if options.leaderboard:
        check_tested(info, tested)
    if baseline is not None:
        check_baseline(baseline, tested)
        baseline = baseline.against(info.settings.name)
    say(
        console,
        f"{options.network}: {config.model.name} on {device.type}; {info.n_test} test images of {info.settings.name}, "
        f"{info.channels}×{info.image_size}×{info.image_size}, {info.n_classes} classes",
        *notes,
        *info.notes,
        *left_out(config.evaluate, info),
        *without_effect(given, config),
        *([baseline.note] if baseline is not None and baseline.note else []),
    )
    with stage_bar(console) as show:
        outcomes = list(run_chain(plan, store, data_getter(info, store, device), device=device, on_progress=show))
    errors = next(done for done in outcomes if done.spec is plan.judged).artifact.json("errors")
    say(console, error_grid(errors, baseline, is_trial=False), *flip_grid(errors, baseline))
    say(console, summary_table(errors, baseline))
    if options.output is not None:
        write_output(options, config, info, errors, baseline)
        say(console, f"wrote {options.output}")
    if options.leaderboard:
        say(console, *write_leaderboard(leaderboard_files(options), info, errors["test"], fields))
    return 0


def check_baseline(baseline: Baseline, tested: Mapping[str, Any]) -> None:
    """Check that a network can be compared with a baseline; one of before C-bar may lack its corruptions.

    Raises:
        InputError: it lacks another corruption, or is over other severities.
    """
    names = [name for name in tested["corruptions"] if name in baseline.errors or kind_of(name) != C_BAR]
    baseline.check(names or tested["corruptions"], tested["severities"])


def check_options(options: EvaluateOptions) -> dict[str, Any]:
    """Return the settings that are given, by dotted path.

    Raises:
        InputError: a setting of what is not done here, or a file that cannot be written.
    """
    given = parse_settings(options.settings)
    for path in given:
        if path.partition(".")[0] not in SECTIONS:
            raise InputError(
                f"the setting {path!r} says nothing here, where nothing is trained: those of {', '.join(SECTIONS)} do; "
                "pipelines.trial takes all"
            )
    given |= options.data_settings()
    if options.output is not None:
        if options.output.suffix not in FORMATS:
            raise InputError(f"`--output` must end in {' or '.join(FORMATS)}, got {options.output}")
        require_folder(options.output, "the table")
    files = leaderboard_files(options)
    check_files(files)
    for file in files:
        require_folder(file, "the leaderboard's file")
    if options.entry and not options.leaderboard:
        raise InputError("`--entry` says what a leaderboard's entry has: name its file by --leaderboard NAME.json")
    return given


def leaderboard_files(options: EvaluateOptions) -> list[Path]:
    """Return the files that are to be written for the leaderboard."""
    return [home_found(Path(file)) for file in options.leaderboard]


def network_settings(
    options: EvaluateOptions, store: Store, given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings that make a trial start from the network, and notes on it; its weights go into the store.

    Raises:
        InputError: no such network, one that has no weights, or weights that cannot be read.
    """
    place = Path(options.network).expanduser()
    if place.is_dir():
        _refuse_init(options, "an exported network has its own")
        settings = exported_settings(place)
        _refuse_others(options, given, settings)
        weights = prepare_weights(place / WEIGHTS, store)
        return {**settings, "model.weights": weights.key}, weights.notes
    if place.is_file():
        _refuse_init(options, "the file has them")
        weights = prepare_weights(place, store)
        if not weights.facts and "model.name" not in given:
            raise InputError(_untold(place, networks_of(weights, store)))
        if given.get("model.name") in (None, weights.settings().get("model.name")):  # else it is a person's own network
            _refuse_others(options, given, weights.settings())
        return weights.settings(given=given), weights.notes
    of_library = is_of_library(options.network)
    if not of_library and (len(place.parts) > 1 or place.suffix in FILES):
        raise InputError(f"there is no network {place}: neither a file of weights nor an exported folder")
    init = options.init or (Path("default") if of_library else None)
    if init is None:
        raise InputError(f"network {options.network!r} has no weights of its own: give a file of them by --init")
    weights = prepare_weights(init, store, network=options.network)
    _refuse_others(options, given, {"model.name": options.network})
    named = {**given, "model.name": options.network}
    return {**weights.settings(given=named), "model.name": options.network}, weights.notes


def _untold(place: Path, found: Sequence[str]) -> str:
    """Return what is said of a file of weights that could be of many networks, or is of some libraries'."""
    if not found:
        return (
            f"the weights in {place} do not tell which network they are of: give it by name, "
            f"--network NAME --init {place}"
        )
    return (
        f"the weights in {place} are, by names and shapes, those of {' or '.join(found)}: give it by name, "
        f"--network {found[0]} --init {place}"
    )


def _refuse_init(options: EvaluateOptions, reason: str) -> None:
    if options.init is not None:
        raise InputError(f"`--init {options.init}` gives weights to {options.network}, but {reason}")


def _refuse_others(options: EvaluateOptions, given: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ``InputError`` if a setting says of the network what its name, file or folder says otherwise."""
    config = TrialConfig().with_settings(own).flat()
    for path, value in TrialConfig().with_settings(given).flat().items():
        if path in given and path in own and path.partition(".")[0] in ("model", "push_pull") and value != config[path]:
            raise InputError(
                f"`--network {options.network}` is a network whose {path} is {as_typed(config[path])}, but --set says "
                f"{path}={as_typed(value)}: give one of the two"
            )


def check_shape(network: str, info: DataInfo) -> None:
    """Check that an exported network takes the images and knows their classes; of others it is seen by their weights.

    Raises:
        InputError: it takes others.
    """
    if not Path(network).expanduser().is_dir():
        return
    settings = read_config(Path(network).expanduser())["network"]
    side, channels, classes = settings["image_size"], settings["in_channels"], settings["num_classes"]
    if (channels, side, classes) != (info.channels, info.image_size, info.n_classes):
        raise InputError(
            f"the network in {network} takes images of {channels}×{side}×{side} and has {classes} classes, but "
            f"{info.settings.name} has {info.channels}×{info.image_size}×{info.image_size} and {info.n_classes} "
            "(`data.image_size` and `data.channels` change images)"
        )


def write_output(
    options: EvaluateOptions, config: TrialConfig, info: DataInfo, errors: Mapping[str, Any], baseline: Baseline | None
) -> None:
    """Write the errors in the format that the file's name asks for.

    Raises:
        InputError: it cannot be written.
    """
    assert options.output is not None
    if options.output.suffix == ".csv":
        write_errors(dict(errors), options.output)
        return
    test = errors["test"]
    table = rows_to_table(test["corrupted"])
    scores = corruption_scores(table, test["clean"])
    if baseline is not None:
        compared = {cell: error for cell, error in table.items() if cell[0] in baseline.errors}
        ratios = corruption_scores(compared, test["clean"], baseline)
        scores = dataclasses.replace(ratios, E=scores.E, E_by_corruption=scores.E_by_corruption)
    flat = config.flat()
    value = {
        "network": options.network,
        "dataset": info.settings.name,
        "data_key": info.key,
        "settings": {path: flat[path] for path in flat if path.partition(".")[0] in SECTIONS},
        "test": test,
        "baseline": None if baseline is None else baseline.source,
        **({"baseline_note": baseline.note} if baseline is not None and baseline.note else {}),
        "scores": dataclasses.asdict(scores),
        "summary": summary_rows(errors, baseline),
    }
    with writing("the table", options.output):
        options.output.write_text(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(EvaluateOptions, main, program="evaluate", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
