"""What ``--dry-run`` shows: the trials, their stages, and what sharing would save."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from engine.orchestration.printing import say
from engine.orchestration.results import describe_settings
from engine.orchestration.search import SAMPLERS, Identities, make_draws
from engine.orchestration.tables import Table
from engine.settings import TrialConfig
from engine.stages import StageSpec

if TYPE_CHECKING:
    from engine.orchestration.preparation import Prepared


def print_dry_run(console: Console, prepared: Prepared) -> None:
    """Print the stage tree of the sweep; nothing is started and nothing computed.

    What a sampler will propose is not known beforehand: its trials are estimated from random draws.
    """
    from engine.orchestration.sentences import opening_notes

    agenda, space = prepared.agenda, prepared.space
    say(
        console,
        f"study {prepared.study_name}: space {space.name} (digest {space.digest}) on {prepared.info.settings.name}\n"
        f"{agenda.n_total} trials: {agenda.n_arm_trials} of the arms, {agenda.n_proposals} proposed by "
        f"{prepared.options.sampler_name}, {agenda.n_winner_trials} to compute the best again",
    )
    for note in opening_notes(prepared):
        say(console, note)
    for arm in space.arms:
        say(console, f"  arm {arm.name}: {describe_settings(arm.settings)}")
    for axis in space.axes:
        values = (
            ", ".join(map(str, axis.extremes())) if hasattr(axis, "values") else " … ".join(map(str, axis.extremes()))
        )
        when = (
            f"   if {describe_settings({k: '|'.join(map(str, v)) for k, v in axis.when.items()})}" if axis.when else ""
        )
        say(console, f"  axis {axis.label}: {values}{when}")
    say(console, stage_table(prepared))
    exact = SAMPLERS[prepared.options.sampler_name].source == "drawn" or not agenda.n_proposals
    if agenda.n_winner_trials or not exact:
        say(
            console,
            ("Proposals" if not exact else "The winner's trials")
            + " are estimated from random draws: what is proposed, and what is pruned, is not known beforehand.",
        )


def stage_table(prepared: Prepared) -> Table:
    """Return, for each kind of stage, how often trials want it, how many distinct ones that is, and what is stored."""
    wanted: Counter[str] = Counter()
    distinct: dict[str, dict[str, StageSpec]] = defaultdict(dict)
    for config in _configs(prepared):
        for spec in prepared.plan(config, device="cuda" if (prepared.options.gpus_per_slot or 0) > 0 else "cpu"):
            wanted[spec.stage] += 1
            distinct[spec.stage][spec.key] = spec
    rows: list[tuple[str, ...]] = []
    total = [0, 0, 0]
    for stage, count in wanted.items():
        stored = sum(prepared.store.find(key) is not None for key in distinct[stage])
        row = (count, len(distinct[stage]), stored)
        total = [a + b for a, b in zip(total, row, strict=True)]
        rows.append((stage, *map(str, row), f"{1 - row[1] / count:.0%}"))
    rows += [(), ("all", *map(str, total), f"{1 - total[1] / total[0]:.0%}" if total[0] else "–")]
    return Table("Stages", ("stage", "wanted by trials", "distinct", "in the store", "shared"), rows, align="lrrrr")


def _configs(prepared: Prepared) -> Iterator[TrialConfig]:
    """Yield a configuration for every trial: the arms' own, and draws for those that are not known yet."""
    agenda, space = prepared.agenda, prepared.space
    name = prepared.options.sampler_name
    known = name if SAMPLERS[name].source == "drawn" else "random"
    draws = make_draws(known, agenda, Identities(space, prepared.identity))
    drawn = []
    for slot in agenda.arms():
        yield space.config(slot.settings or {}, seed=slot.seed)
    for index, slot in enumerate(agenda.proposals()):
        settings = draws[index]
        drawn.append(settings)
        yield space.config(settings, seed=slot.seed)
    if drawn:
        for slot in agenda.winner(drawn[0]):
            yield space.config(drawn[0], seed=slot.seed)
