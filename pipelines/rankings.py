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
from rich.table import Table

from engine.errors import InputError
from engine.ranking import CONTROLS, DISTANCES, FilterRanking, compare_rankings, control_agreements, n_selected
from engine.stages.noisy import noisy_and_clean
from engine.stages.rank import ranking_from_json
from pipelines._command_line import make_console, run
from pipelines._ranking_rows import Row, agreement_cells, check_rows_path, make_row, pair_rows, select, write_rows
from pipelines._workplace import (
    Workplace,
    open_workplace,
    parse_distortion,
    require_folder,
    save_figure,
    seeds_from,
)
from pipelines.trial import TrialOptions

CHEAP = ("emd_1d", "l1", "l2", "cosine", "sliced_emd")
"""Distances that take microseconds a pair of maps."""

VARIANTS = {
    "exemplars by pixels, euclidean": {"rank.features": "pixels", "rank.metric": "euclidean"},
    "exemplars by maps, euclidean": {"rank.features": "maps", "rank.metric": "euclidean"},
    "exemplars by maps, hamming": {"rank.features": "maps", "rank.metric": "hamming"},
}

PAPER = {
    "exemplars by pixels, euclidean": ("18/24", "13/24", "19/24"),
    "exemplars by maps, euclidean": ("14/24", "13/24", "19/24"),
    "exemplars by maps, hamming": ("13/24", "11/24", "17/24"),
}
"""Table 1: matches in the first three layers of All-CNN on CIFAR-100, AWGN with σ 15."""

PAPER_BETWEEN_DISTORTIONS = "paper, blur and AWGN, first layer: 6/8 (CIFAR-10), 19/24 (CIFAR-100)"


@dataclass
class RankingsOptions(TrialOptions):
    """Show how far unpaired rankings agree with the paired one, beside their controls (filter paper's Table 1), how far
    rankings by different distortions and distances do, and how affected each filter is (Fig. 4).

    The network is the trial's, trained if the store does not have it. Which layers, what share of the filters and how
    many noisy images: --set finetune.layers=first-3 finetune.fraction=0.25 distortion.n_images=400.

    Example: python -m pipelines.rankings --set model.name=cnn-2 distortion.n_images=400 --n-seeds 5
    """

    distortions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=LEVEL ...")] = ("awgn=25", "blur=1")
    """Distortions to rank by; the first one's exemplars are shown beside the paper's where it is awgn."""
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
    work = open_workplace(options, console)
    distances = tuple(dict.fromkeys((work.config.rank.distance, *options.distances)))
    for name in distances:
        _ = DISTANCES[name]
    seeds = seeds_from(work.config.seed, options.n_seeds)
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
    print_tables(console, work, rows, options)
    write_figure(work, figures[0], options)
    if options.rows is not None:
        write_rows(rows, options.rows)
        console.print(f"wrote {options.rows}", highlight=False, soft_wrap=True)
    console.print(f"wrote {options.output}", highlight=False, soft_wrap=True)
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
        require_folder(options.rows, "the rows")


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
    paired = stored_ranking(work, settings)
    rows = []
    for variant, exemplars in VARIANTS.items():
        unpaired = stored_ranking(work, {**settings, "rank.pairing": "unpaired", "rank.n_exemplars": 1, **exemplars})
        rows += [
            make_row(compare(unpaired[layer], paired[layer]), **what, kind="variant", layer=layer, ranking=variant)
            | {"other": "paired", "draw": 0}
            for layer in paired
        ]
    rows += control_rows(work, settings, list(paired), n_draws, what)
    by_distance = {name: stored_ranking(work, {**settings, "rank.distance": name}) for name in distances}
    rows += pair_rows(by_distance, compare, **what, kind="distances")
    return paired, rows


def stored_ranking(work: Workplace, settings: Mapping[str, Any]) -> dict[str, FilterRanking]:
    """Return the ranking of each layer that a trial with these settings makes, paired unless they say otherwise.

    Raises:
        InputError: the settings select all filters, so that there is nothing to rank.
    """
    plan = work.plan({"rank.pairing": "paired", **settings, "finetune.which": "most"})
    if plan.key("rank") is None:
        raise InputError("the settings select all filters of the layers: nothing is ranked; lower `finetune.fraction`")
    found = work.artifacts(plan, "rank")["rank"].json("ranking")
    return {layer: ranking_from_json(value) for layer, value in found.items()}


def control_rows(
    work: Workplace, settings: Mapping[str, Any], layers: Sequence[str], n_draws: int, what: Mapping[str, Any]
) -> list[Row]:
    """Return the rows of the controls, one a draw."""
    config = work.config.with_settings(settings)
    network = work.network(work.artifacts(work.plan({**settings, "finetune.which": "none"}), "pretrain"))
    distortion = {"name": config.distortion.name, "level": config.distortion.level}
    noisy, clean, other_clean = noisy_and_clean(
        work.data, {**distortion, "n_images": config.distortion.n_images}, seed=config.seed
    )
    found = control_agreements(
        network,
        clean.images,
        noisy.images,
        other_clean.images,
        layers,
        fraction=config.finetune.fraction,
        count=config.finetune.count,
        distance=config.rank.distance,
        at=config.rank.at,
        election=config.rank.election,
        top=config.rank.top,
        n_draws=n_draws,
        seed=config.seed,
    )
    return [
        make_row(agreement, **what, kind="control", layer=layer, ranking=control, other="paired", draw=draw)
        for control, by_layer in found.items()
        for layer, agreements in by_layer.items()
        for draw, agreement in enumerate(agreements)
    ]


def print_tables(console: Console, work: Workplace, rows: Sequence[Row], options: RankingsOptions) -> None:
    """Print Table 1 for each distortion, then the overlaps between distortions and between distances."""
    names = list(dict.fromkeys(row["distortion"] for row in rows if row["distortion"]))
    for name in names:
        console.print(unpaired_table(work, select(rows, distortion=name), name, options))
    overlaps = select(rows, kind="distortions")
    if overlaps:
        console.print(distortion_table(overlaps, rows), highlight=False)
    for name in names:
        by_distance = select(rows, distortion=name, kind="distances")
        if by_distance:
            console.print(distance_table(by_distance, name), highlight=False)


def unpaired_table(work: Workplace, rows: Sequence[Row], name: str, options: RankingsOptions) -> Table:
    """Return how far unpaired rankings and their controls agree with the paired one, layer by layer."""
    config = work.config
    title = (
        f"Agreement with the paired ranking: {name}, {config.distortion.n_images} noisy images, {config.rank.distance}, "
        f"{options.n_seeds} seed{'s' if options.n_seeds > 1 else ''}, {options.n_draws} draws"
    )
    with_paper = name.startswith("awgn")
    columns = ["layer", "ranking", "matches", "Jaccard", "rank correlation", *(["paper"] if with_paper else [])]
    caption = "paper: All-CNN on CIFAR-100, AWGN with σ 15, 96 filters a layer" if with_paper else None
    table = Table(*columns, title=title, title_justify="left", caption=caption, caption_justify="left")
    for place, layer in enumerate(dict.fromkeys(row["layer"] for row in rows)):
        of_layer = [row for row in rows if row["layer"] == layer and row["kind"] in ("variant", "control")]
        n, chance = of_layer[0]["n_selected"], of_layer[0]["by_chance"]
        for line, ranking in enumerate((*VARIANTS, *CONTROLS)):
            cells = agreement_cells(select(of_layer, ranking=ranking))
            theirs = PAPER[ranking][place] if ranking in PAPER and place < 3 else ""
            head = (layer, f"{n} most affected", f"by chance {chance:.1f}")[line] if line < 3 else ""
            last = line == len(VARIANTS) + len(CONTROLS) - 1
            table.add_row(head, ranking, *cells, *([theirs] if with_paper else []), end_section=last)
    return table


def distortion_table(overlaps: Sequence[Row], rows: Sequence[Row]) -> Table:
    """Return how far the paired rankings by two distortions agree, beside the ceiling of each."""
    table = Table(
        *("layer", "rankings", "matches", "of", "by chance", "Jaccard", "rank correlation"),
        title="Overlap between distortions, of paired rankings",
        title_justify="left",
        caption=PAPER_BETWEEN_DISTORTIONS,
        caption_justify="left",
    )
    for layer in dict.fromkeys(row["layer"] for row in overlaps):
        lines = {}
        for row in select(overlaps, layer=layer, seed=overlaps[0]["seed"]):
            pair = select(overlaps, layer=layer, ranking=row["ranking"], other=row["other"])
            lines[f"{row['ranking']} and {row['other']}"] = pair
        for name in dict.fromkeys(name for row in overlaps for name in (row["ranking"], row["other"])):
            lines[f"two halves of {name}"] = select(rows, layer=layer, distortion=name, ranking=CONTROLS[-1])
        for head, found in lines.items():
            matches, jaccard, correlation = agreement_cells(found)
            n, chance = str(found[0]["n_selected"]), f"{found[0]['by_chance']:.1f}"
            last = head == list(lines)[-1]
            table.add_row(layer, head, matches, n, chance, jaccard, correlation, end_section=last)
    return table


def distance_table(rows: Sequence[Row], name: str) -> Table:
    """Return how far the rankings by every two distances agree, layer by layer."""
    names = list(dict.fromkeys(name for row in rows for name in (row["ranking"], row["other"])))
    several = len({row["seed"] for row in rows}) > 1
    title = f"Overlap between distances, {name}: matches in the most affected, and rank correlation"
    table = Table("layer", "distance", *names[1:], title=title, title_justify="left")
    for layer in dict.fromkeys(row["layer"] for row in rows):
        found = select(rows, layer=layer)
        heads = [layer, f"{found[0]['n_selected']} most affected", f"by chance {found[0]['by_chance']:.1f}"]
        for line, one in enumerate(names[:-1]):
            cells = []
            for other in names[1:]:
                matches, _, correlation = agreement_cells(select(found, ranking=one, other=other))
                cells.append("" if matches == "–" else f"{matches}\n{correlation}" if several else f"{matches}, {correlation}")
            head = heads[line] if line < len(heads) else ""
            table.add_row(head, one, *cells, end_section=line == len(names) - 2)
    return table


def write_figure(
    work: Workplace, rankings: Mapping[str, Mapping[str, FilterRanking]], options: RankingsOptions
) -> None:
    """Draw the bars into the file of the options."""
    from engine.orchestration.ranking_figure import borda_figure  # here: matplotlib is slow to import

    config = work.config
    sizes = {
        layer: n_selected(ranking.n_filters, fraction=config.finetune.fraction, count=config.finetune.count)
        for layer, ranking in next(iter(rankings.values())).items()
    }
    title = f"{config.model.name} on {config.data.name}, {config.distortion.n_images} image pairs, {config.rank.distance}"
    save_figure(borda_figure(rankings, sizes, title), options.output)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(RankingsOptions, main, program="rankings", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
