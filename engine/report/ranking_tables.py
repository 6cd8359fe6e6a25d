"""Tables of how far rankings of filters agree, with a paper's figures beside them where it has some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.ranking import CONTROLS
from engine.report.ranking_rows import Row, agreement_cells, select
from engine.report.text_tables import Table

Matches = Mapping[tuple[int, str], str]
"""{(place of the layer, ranking): what a paper prints}."""


def unpaired_table(rows: Sequence[Row], setting: str, paper: Matches | None = None, caption: str = "") -> Table:
    """Return how far unpaired rankings and their controls agree with the paired one, layer by layer.

    Args:
        rows: of one distortion, of all seeds and draws, the rankings in their order.
        setting: what all rows have in common, in words.
        paper: what stands beside them; None for no such column.
        caption: below it.
    """
    title = f"Agreement with the paired ranking: {setting}"
    columns = ["layer", "ranking", "matches", "Jaccard", "rank correlation", *([] if paper is None else ["paper"])]
    held = [row for row in rows if row["kind"] in ("variant", "control")]
    names = list(dict.fromkeys(row["ranking"] for row in held))
    lines: list[tuple[str, ...]] = []
    for place, layer in enumerate(dict.fromkeys(row["layer"] for row in held)):
        of_layer = select(held, layer=layer)
        n, chance = of_layer[0]["n_selected"], of_layer[0]["by_chance"]
        for line, ranking in enumerate(names):
            cells = agreement_cells(select(of_layer, ranking=ranking))
            head = (layer, f"{n} most affected", f"by chance {chance:.1f}")[line] if line < 3 else ""
            lines.append((head, ranking, *cells, *([] if paper is None else [paper.get((place, ranking), "")])))
        lines.append(())
    return Table(title, columns, lines, caption=caption)


def distortion_table(overlaps: Sequence[Row], rows: Sequence[Row], caption: str = "") -> Table:
    """Return how far the paired rankings by two distortions agree, beside the ceiling of each, where there is one.

    Args:
        overlaps: rows of the kind "distortions".
        rows: all, the controls' among them.
        caption: below it.
    """
    lines: list[tuple[str, ...]] = []
    for layer in dict.fromkeys(row["layer"] for row in overlaps):
        pairs = {}
        for row in select(overlaps, layer=layer, seed=overlaps[0]["seed"]):
            pair = select(overlaps, layer=layer, ranking=row["ranking"], other=row["other"])
            pairs[f"{row['ranking']} and {row['other']}"] = pair
        for name in dict.fromkeys(name for row in overlaps for name in (row["ranking"], row["other"])):
            pairs[f"two halves of {name}"] = select(rows, layer=layer, distortion=name, ranking=CONTROLS[-1])
        for head, found in pairs.items():
            if not found:
                continue
            matches, jaccard, correlation = agreement_cells(found)
            n, chance = str(found[0]["n_selected"]), f"{found[0]['by_chance']:.1f}"
            lines.append((layer, head, matches, n, chance, jaccard, correlation))
        lines.append(())
    return Table(
        "Overlap between distortions, of paired rankings",
        ("layer", "rankings", "matches", "of", "by chance", "Jaccard", "rank correlation"),
        lines,
        caption=caption,
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
