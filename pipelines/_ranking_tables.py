"""Tables of how far rankings agree, with the paper's figures beside them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from engine.ranking import CONTROLS
from engine.report.terminal import say
from engine.report.text_tables import Table
from pipelines._ranking_rows import Row, agreement_cells, select

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


def print_tables(console: Console, rows: Sequence[Row], setting: str) -> None:
    """Print Table 1 for each distortion, then the overlaps between distortions and between distances.

    Args:
        console: where.
        rows: of all seeds and draws.
        setting: what all rows have in common, in words.
    """
    names = list(dict.fromkeys(row["distortion"] for row in rows if row["distortion"]))
    for name in names:
        say(console, unpaired_table(select(rows, distortion=name), f"{name}, {setting}"))
    overlaps = select(rows, kind="distortions")
    if overlaps:
        say(console, distortion_table(overlaps, rows))
    for name in names:
        by_distance = select(rows, distortion=name, kind="distances")
        if by_distance:
            say(console, distance_table(by_distance, name))


def unpaired_table(rows: Sequence[Row], setting: str) -> Table:
    """Return how far unpaired rankings and their controls agree with the paired one, layer by layer."""
    title = f"Agreement with the paired ranking: {setting}"
    with_paper = setting.startswith("awgn")
    columns = ["layer", "ranking", "matches", "Jaccard", "rank correlation", *(["paper"] if with_paper else [])]
    caption = "paper: All-CNN on CIFAR-100, AWGN with σ 15, 96 filters a layer" if with_paper else ""
    lines: list[tuple[str, ...]] = []
    for place, layer in enumerate(dict.fromkeys(row["layer"] for row in rows)):
        of_layer = [row for row in rows if row["layer"] == layer and row["kind"] in ("variant", "control")]
        n, chance = of_layer[0]["n_selected"], of_layer[0]["by_chance"]
        for line, ranking in enumerate((*VARIANTS, *CONTROLS)):
            cells = agreement_cells(select(of_layer, ranking=ranking))
            theirs = PAPER[ranking][place] if ranking in PAPER and place < 3 else ""
            head = (layer, f"{n} most affected", f"by chance {chance:.1f}")[line] if line < 3 else ""
            lines.append((head, ranking, *cells, *([theirs] if with_paper else [])))
        lines.append(())
    return Table(title, columns, lines, caption=caption)


def distortion_table(overlaps: Sequence[Row], rows: Sequence[Row]) -> Table:
    """Return how far the paired rankings by two distortions agree, beside the ceiling of each."""
    lines: list[tuple[str, ...]] = []
    for layer in dict.fromkeys(row["layer"] for row in overlaps):
        pairs = {}
        for row in select(overlaps, layer=layer, seed=overlaps[0]["seed"]):
            pair = select(overlaps, layer=layer, ranking=row["ranking"], other=row["other"])
            pairs[f"{row['ranking']} and {row['other']}"] = pair
        for name in dict.fromkeys(name for row in overlaps for name in (row["ranking"], row["other"])):
            pairs[f"two halves of {name}"] = select(rows, layer=layer, distortion=name, ranking=CONTROLS[-1])
        for head, found in pairs.items():
            matches, jaccard, correlation = agreement_cells(found)
            n, chance = str(found[0]["n_selected"]), f"{found[0]['by_chance']:.1f}"
            lines.append((layer, head, matches, n, chance, jaccard, correlation))
        lines.append(())
    return Table(
        "Overlap between distortions, of paired rankings",
        ("layer", "rankings", "matches", "of", "by chance", "Jaccard", "rank correlation"),
        lines,
        caption=PAPER_BETWEEN_DISTORTIONS,
    )


def distance_table(rows: Sequence[Row], name: str) -> Table:
    """Return how far the rankings by every two distances agree, layer by layer."""
    names = list(dict.fromkeys(name for row in rows for name in (row["ranking"], row["other"])))
    several = len({row["seed"] for row in rows}) > 1
    title = f"Overlap between distances, {name}: matches in the most affected, and rank correlation"
    lines: list[tuple[str, ...]] = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        found = select(rows, layer=layer)
        heads = [layer, f"{found[0]['n_selected']} most affected", f"by chance {found[0]['by_chance']:.1f}"]
        for line, one in enumerate(names[:-1]):
            cells = []
            for other in names[1:]:
                matches, _, correlation = agreement_cells(select(found, ranking=one, other=other))
                cells.append(
                    "" if matches == "–" else f"{matches}\n{correlation}" if several else f"{matches}, {correlation}"
                )
            head = heads[line] if line < len(heads) else ""
            lines.append((head, one, *cells))
        lines.append(())
    return Table(title, ("layer", "distance", *names[1:]), lines)
