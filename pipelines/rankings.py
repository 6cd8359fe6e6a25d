"""How far rankings of filters agree, beside their controls: ``python -m pipelines.rankings``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from engine.errors import InputError
from engine.figures.saving import require_folder, save_figure
from engine.ranking import DISTANCES, FilterRanking, compare_rankings, n_selected
from engine.report.ranking_controls import control_rows
from engine.report.ranking_rows import Row, check_rows_path, make_row, pair_rows, select, write_rows
from engine.report.ranking_tables import distance_table, distortion_table, unpaired_table
from engine.report.terminal import make_console, say
from engine.stages import TrialPlan
from engine.stages.rank import ranking_from_json
from pipelines._command_line import run
from pipelines._workplace import Workplace, check_tunes_filters, open_workplace, parse_distortion, seeds_from
from pipelines.trial import NetworkOptions
from search_spaces._published import MATCHES_FROM, matches_between_distortions, published_matches
from search_spaces._selective import EXEMPLARS

CHEAP = ("emd_1d", "l1", "l2", "cosine", "sliced_emd")
"""Distances that take microseconds a pair of maps."""


@dataclass(kw_only=True)
class RankingsOptions(NetworkOptions):
    """Show how far unpaired rankings agree with the paired one, beside their controls (filter paper's Table 1), how far
    rankings by different distortions and distances do, and how affected each filter is (Fig. 4).

    The network is the trial's, trained if the store does not have it. Which layers, what share of the filters and how
    many noisy images: --set finetune.layers=first-3 finetune.fraction=0.25 distortion.n_images=400.

    Example: python -m pipelines.rankings --set model.name=cnn-2 distortion.n_images=400 --n-seeds 5
    """

    distortions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=LEVEL ...")] = ("awgn=25", "blur=1")
    """Distortions to rank by."""
    distances: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = CHEAP
    """Distances to compare, beside rank.distance (see --list of pipelines.sweep)."""
    n_draws: int = 20
    """How often random images and halves are drawn."""
    n_seeds: int = 1
    """Networks, each with images of its own: seeds from the trial's on. Figures are mean ± std over them."""
    rows: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the raw rows go: a .json or a .csv file."""
    output: Path = Path("rankings.png")
    """Where the figure goes: of the first seed."""


def main(options: RankingsOptions) -> int:
    """Rank, write the figure and the rows, and print the agreements."""
    console = make_console()
    distortions = [parse_distortion(text) for text in options.distortions]
    _check(options)
    work = open_workplace(options, console, {"finetune.which": "most"})
    check_tunes_filters(work.config)
    if work.config.finetune.threshold is not None:
        raise InputError("rankings are compared by `finetune.fraction` or `finetune.count`, got a threshold")
    if work.config.finetune.unit != "filter" or work.config.rank.by != "maps":
        raise InputError(
            "rankings of filters by their maps are compared, got "
            f"`finetune.unit`={work.config.finetune.unit} and `rank.by`={work.config.rank.by}"
        )
    distances = tuple(dict.fromkeys((work.config.rank.distance, *options.distances)))
    for name in distances:
        _ = DISTANCES[name]
    seeds = seeds_from(work.config.seed, options.n_seeds)
    for distortion in distortions:  # what cannot be ranked is told before anything runs
        for settings in wanted_rankings(distances).values():
            ranking_plan(work, {**distortion, **settings})
    rows: list[Row] = []
    figures: list[Mapping[str, Mapping[str, FilterRanking]]] = []
    for seed in seeds:
        by_distortion = {}
        for distortion in distortions:
            paired, found = rank_by(work, {**distortion, "seed": seed}, distances, options.n_draws)
            by_distortion[describe(distortion)] = paired
            rows += found
        figures.append(by_distortion)
        rows += pair_rows(by_distortion, compare_as(work), seed=seed, distortion="", kind="distortions")
    setting = f"{work.config.distortion.n_images} noisy images, {work.config.rank.distance}; "
    setting += f"mean over {options.n_draws} draws" + (f", ± std over {len(seeds)} seeds" if len(seeds) > 1 else "")
    print_tables(console, rows, setting)
    write_figure(work, figures[0], options)
    if options.rows is not None:
        write_rows(rows, options.rows)
        say(console, f"wrote {options.rows}")
    say(console, f"wrote {options.output}")
    return 0


def _check(options: RankingsOptions) -> None:
    require_folder(options.output, "the figure")
    if not options.distortions:
        raise InputError("at least one of `--distortions` is needed, got none")
    if len(set(options.distortions)) < len(options.distortions):
        raise InputError(f"each of `--distortions` must be another one, got {' '.join(options.distortions)}")
    if options.n_draws < 1:
        raise InputError(f"`--n-draws` must be ≥ 1, got {options.n_draws}")
    if options.rows is not None:
        check_rows_path(options.rows)
        require_folder(options.rows, "the rows file")


def describe(distortion: Mapping[str, Any]) -> str:
    """Return "awgn 25"."""
    return f"{distortion['distortion.name']} {distortion['distortion.level']:g}"


def compare_as(work: Workplace) -> Any:
    """Return ``compare_rankings`` on the share of the filters that the settings select."""
    finetune = work.config.finetune
    return partial(compare_rankings, fraction=finetune.fraction, count=finetune.count)


def rank_by(
    work: Workplace, settings: Mapping[str, Any], distances: Sequence[str], n_draws: int
) -> tuple[dict[str, FilterRanking], list[Row]]:
    """Return the paired ranking of each layer by one distortion and seed, and the rows of all that is held against it.

    Args:
        work: of the network.
        settings: the distortion and the seed.
        distances: to rank by too.
        n_draws: of random images and of halves.
    """
    seed, compare = settings["seed"], compare_as(work)
    what = {"seed": seed, "distortion": describe(settings)}
    found = {name: stored_ranking(work, {**settings, **how}) for name, how in wanted_rankings(distances).items()}
    paired = found[work.config.rank.distance]
    rows = [
        make_row(compare(found[variant][layer], paired[layer]), **what, kind="variant", layer=layer, ranking=variant)
        | {"other": "paired", "draw": 0}
        for variant in EXEMPLARS
        for layer in paired
    ]
    network = work.network(work.artifacts(ranking_plan(work, settings), "pretrain"))
    rows += control_rows(work.config.with_settings(settings), work.data, network, list(paired), n_draws, **what)
    rows += pair_rows({name: found[name] for name in distances}, compare, **what, kind="distances")
    return paired, rows


def wanted_rankings(distances: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return {name: settings} of the rankings by one distortion: paired by each distance, and unpaired ones."""
    paired = {name: {"rank.pairing": "paired", "rank.distance": name} for name in distances}
    unpaired = {
        variant: {"rank.pairing": "unpaired", "rank.n_exemplars": 1, **how} for variant, how in EXEMPLARS.items()
    }
    return paired | unpaired


def ranking_plan(work: Workplace, settings: Mapping[str, Any]) -> TrialPlan:
    """Return the stages of a trial with these settings, which ranks.

    Raises:
        InputError: the settings select all filters, so that there is nothing to rank.
    """
    plan = work.plan({**settings, "finetune.which": "most"})
    if plan.key("rank") is None:
        raise InputError("the settings select all filters of the layers: nothing is ranked; lower `finetune.fraction`")
    return plan


def stored_ranking(work: Workplace, settings: Mapping[str, Any]) -> dict[str, FilterRanking]:
    """Return the ranking of each layer that a trial with these settings makes."""
    found = work.artifacts(ranking_plan(work, settings), "rank")["rank"].json("ranking")
    return {layer: ranking_from_json(value) for layer, value in found.items()}


def print_tables(console: Console, rows: Sequence[Row], setting: str) -> None:
    """Print Table 1 for each distortion, then the overlaps between distortions and between distances.

    Args:
        console: where.
        rows: of all seeds and draws.
        setting: what all rows have in common, in words.
    """
    names = list(dict.fromkeys(row["distortion"] for row in rows if row["distortion"]))
    for name in names:
        beside = (published_matches(), MATCHES_FROM) if name.startswith("awgn") else (None, "")
        say(console, unpaired_table(select(rows, distortion=name), f"{name}, {setting}", *beside))
    overlaps = select(rows, kind="distortions")
    if overlaps:
        say(console, distortion_table(overlaps, rows, matches_between_distortions()))
    for name in names:
        by_distance = select(rows, distortion=name, kind="distances")
        if by_distance:
            say(console, distance_table(by_distance, name))


def write_figure(
    work: Workplace, rankings: Mapping[str, Mapping[str, FilterRanking]], options: RankingsOptions
) -> None:
    """Draw the bars into the file of the options."""
    from engine.figures.borda_bars import borda_figure  # here: matplotlib is slow to import

    config = work.config
    sizes = {
        layer: n_selected(ranking.n_filters, fraction=config.finetune.fraction, count=config.finetune.count)
        for layer, ranking in next(iter(rankings.values())).items()
    }
    title = f"{config.model.name} on {config.data.name}, seed {config.seed}: "
    title += f"{config.distortion.n_images} image pairs, {config.rank.distance}"
    save_figure(borda_figure(rankings, sizes, title), options.output)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(RankingsOptions, main, program="rankings", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
