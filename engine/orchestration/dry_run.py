"""What ``--dry-run`` shows: the trials that are left, their stages, and what sharing would save."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console

from engine.errors import InputError
from engine.explanation import as_typed
from engine.orchestration.cluster.slots import note_of_cores_alone, plan_cluster_slots
from engine.orchestration.preparation import Prepared
from engine.orchestration.search import SAMPLERS, Identities, check_reproduces, make_sequence, results_so_far
from engine.orchestration.search.remaining_trials import RemainingTrials, remaining_trials
from engine.orchestration.sweep_words import kinds_of_trials, opening_notes, setting_words
from engine.report.measurement import check_comparable
from engine.report.terminal import say
from engine.report.text_tables import Table
from engine.report.trial_results import describe_settings
from engine.report.verdicts import declared_lines
from engine.settings import TrialConfig
from engine.spaces import Axis
from engine.stages import StageSpec
from engine.stages.catalogue import stages_in_order


def print_dry_run(console: Console, prepared: Prepared) -> None:
    """Print the stage tree of what is left of the sweep; nothing is started and nothing computed.

    What a sampler will propose is not known beforehand: its trials are estimated from random draws.

    Raises:
        InputError: the study exists, and the sweep cannot go on with it.
    """
    planned, space, options = prepared.planned, prepared.space, prepared.options
    so_far = results_so_far(
        space,
        planned.study_seed,
        storage=options.storage_url,
        name=prepared.study_name,
        objectives=options.objective_names,
    )
    if so_far is not None:
        check_comparable(prepared.study_name, so_far.measurements, prepared.measurement)
        if not prepared.is_outlined:  # whether its results come again is seen from the images alone
            check_reproduces(so_far, Identities(space, prepared.identity))
    left = remaining_trials(planned, so_far, retry_failed=options.retry_failed)
    device = _device_of_run(prepared)
    say(
        console,
        f"study {prepared.study_name}: space {space.name} (digest {space.digest}) on {prepared.info.settings.name}\n"
        f"{planned.n_total} trials: {kinds_of_trials(prepared)}"
        + ("; so many suit the space, --n-trials N runs others" if options.n_trials is None else ""),
        setting_words(prepared),
    )
    for note in [*opening_notes(prepared), *_notes(left, device)]:
        say(console, note)
    shared = _shared_stages(prepared)
    for arm in space.arms:
        say(
            console,
            f"  arm {arm.name}: {describe_settings(arm.settings) or 'the base as it is'}{shared.get(arm.name, '')}",
        )
    for line in declared_lines(space):
        say(console, line)
    for axis in space.axes:
        say(console, f"  axis {_described(axis)}")
    if not left.n_left:
        return
    say(console, stage_table(prepared, left, device.kind))
    exact = SAMPLERS[options.sampler_name].source == "drawn" or not left.count("proposal")
    if not exact or (left.n_winner and left.winner is None):
        say(
            console,
            ("Proposals" if not exact else "The winner's trials")
            + " are estimated from random draws: what is proposed, and what is pruned, is not known beforehand.",
        )


@dataclass(frozen=True)
class _Device:
    """What the stages of the run will compute on, and what is to be said of it."""

    kind: str
    note: str = ""


def _device_of_run(prepared: Prepared) -> _Device:
    """Return what the run would compute on: a cluster is asked, where it alone knows whether it has GPUs.

    Raises:
        InputError: the run would be refused for the slots that are asked for.
    """
    from engine.orchestration.cluster.connection import connect, disconnect

    if prepared.device_is_known:
        return _Device(prepared.device)
    options = prepared.options
    try:
        cluster = connect(options.cluster_address, log=options.home / "logs" / "dry-run-ray.log")
    except InputError as error:
        return _Device(
            prepared.device,
            f"planned for {prepared.device}, since the cluster does not say what it has: {error}; where it has GPUs "
            "the stages are others; --gpus-per-slot 1 plans those",
        )
    try:
        slots = plan_cluster_slots(options.slot_request, cluster.machines, cluster.kinds)
    finally:
        disconnect()
    note = note_of_cores_alone(options.slot_request, slots)
    return _Device(slots.device, note or f"planned for {slots.device}, as the cluster is now: {cluster.description}")


def _notes(left: RemainingTrials, device: _Device) -> Iterator[str]:
    """Yield what a person should know of the rest, and of the device that it is planned for."""
    if not left.n_left:
        yield f"{left.all_done}: nothing is left to run"
    elif left.n_done:
        yield (
            f"{left.n_done} are done; left are {left.count('arm')} of the arms, {left.count('proposal')} to propose, "
            + ("" if left.winner is not None or not left.n_winner else "up to ")
            + f"{left.n_winner} to compute the best again: what follows is of these"
        )
    if device.note:
        yield device.note


def _shared_stages(prepared: Prepared) -> dict[str, str]:
    """Return {arm of an ablation: which of its stages it has in common with the first arm of the ablation}."""
    space = prepared.space
    notes: dict[str, str] = {}
    for ablation in space.ablations:
        first, *others = (space.declared.names[ablation.name, arm.name] for arm in ablation.arms())
        settings = {arm.name: arm.settings for arm in space.arms}
        keys = {
            name: {spec.key: spec.stage for spec in prepared.plan(space.config(settings[name], seed=0)).stages}
            for name in (first, *others)
        }
        for name in others:
            common = [stage for key, stage in keys[name].items() if key in keys[first]]
            notes[name] = f"   shares {', '.join(common) or 'nothing'} with {first}"
    return notes


def _described(axis: Axis) -> str:
    values = (", " if hasattr(axis, "values") else " … ").join(map(as_typed, axis.extremes()))
    when = describe_settings({path: "|".join(map(as_typed, among)) for path, among in axis.when.items()})
    return f"{axis.label}: {values}" + (f"   if {when}" if when else "")


def stage_table(prepared: Prepared, left: RemainingTrials, device: str) -> Table:
    """Return, for each kind of stage, how often trials want it, how many distinct ones that is, and what is stored."""
    wanted: Counter[str] = Counter()
    distinct: dict[str, dict[str, StageSpec]] = defaultdict(dict)
    for config in _configs(prepared, left):
        for spec in prepared.plan(config, device=device):
            wanted[spec.stage] += 1
            distinct[spec.stage][spec.key] = spec
    rows: list[tuple[str, ...]] = []
    total = [0, 0, 0]
    order = [stage.name for stage in stages_in_order()]
    for stage, count in sorted(wanted.items(), key=lambda item: order.index(item[0])):
        stored = sum(prepared.store.find(key) is not None for key in distinct[stage])
        row = (count, len(distinct[stage]), stored)
        total = [a + b for a, b in zip(total, row, strict=True)]
        rows.append((stage, *map(str, row), f"{1 - row[1] / count:.0%}"))
    rows += [(), ("all", *map(str, total), f"{1 - total[1] / total[0]:.0%}" if total[0] else "–")]
    return Table("Stages", ("stage", "wanted by trials", "distinct", "in the store", "shared"), rows, align="lrrrr")


def _configs(prepared: Prepared, left: RemainingTrials) -> Iterator[TrialConfig]:
    """Yield a configuration for every trial that is left; draws stand for those that are not known yet."""
    planned, space = prepared.planned, prepared.space
    name = prepared.options.sampler_name
    known = name if SAMPLERS[name].source == "drawn" else "random"
    draws = make_sequence(known, planned, Identities(space, prepared.identity))
    drawn = None
    for trial in left.trials:
        settings = trial.settings
        if settings is None:
            settings = draws[int(trial.name.removeprefix("proposal/"))]
            drawn = settings if drawn is None else drawn
        yield space.config(settings, seed=trial.seed)
    repeats = left.winner if left.winner is not None else planned.winner(drawn or {})
    for trial in repeats:
        yield space.config(trial.settings or {}, seed=trial.seed)
