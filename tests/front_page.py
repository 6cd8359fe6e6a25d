"""What README opens with: the answer of the main job in two sentences, a table and a figure, written by this alone.

Run: python -m pipelines.sweep
     python -m tests.front_page
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.errors import InputError
from engine.figures.group_curves import groups_by_severity
from engine.orchestration import SweepOptions, load_results
from engine.report.columns import kind_columns
from engine.report.comparisons import error_table
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.report.verdicts import findings, verdict_lines
from engine.spaces import load_space
from engine.spaces.arms import WINNER

ROOT = Path(__file__).parents[1]
README, FIGURE = ROOT / "README.md", ROOT / "docs" / "result.png"
BEGIN = "<!-- The result: `python -m tests.front_page` writes it in a checkout, and docs/result.png -->"
END = "<!-- The result ends. -->"
_SECTION = re.compile(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}\n", re.DOTALL)
DIGEST = "digest of the text"
"""What the figure has of the text that was written with it: a number that was changed by hand is found out."""
_SOURCE = "`python -m tests.front_page` wrote this in a checkout, from the study that the first command below makes."
_WIDTH = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the beginning of README and its figure from a finished study; return the exit code."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--study", help="the sweep's study; the main job's if not given")
    given.add_argument("--home", type=Path, default=Path("runs"), help="the sweep's folder")
    given.add_argument("--readme", type=Path, default=README, help="the file whose result is written anew")
    given.add_argument("--figure", type=Path, default=FIGURE, help="where the figure goes")
    options = given.parse_args(arguments)
    try:
        main_job = SweepOptions()
        study = options.study or main_job.study_name(load_space(main_job.space))
        results = load_results(study, home=options.home)
        write(results, options.readme, options.figure)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.readme} and {options.figure}")
    return 0


def write(results: Results, readme: Path, picture: Path) -> None:
    """Write the text between its marks, and the figure with the text's digest.

    Raises:
        InputError: README has no marks, or the study is not finished.
    """
    known = readme.read_text(encoding="utf-8")
    if section_of(known) is None:
        raise InputError(f"{readme} must have the lines {BEGIN!r} and {END!r}, between which the result stands")
    text = section(results)
    about = PngInfo()
    about.add_text(DIGEST, digest_of(text))
    figure(results).save(picture, pnginfo=about, optimize=True)
    readme.write_text(_SECTION.sub(lambda _: f"{BEGIN}\n{text}{END}\n", known), encoding="utf-8")


def section_of(readme: str) -> str | None:
    """Return the result that a README has; None where it has no place for one."""
    found = _SECTION.search(readme)
    return found[1] if found else None


def digest_of(text: str) -> str:
    """Return what a figure has of the text that belongs to it."""
    return hashlib.sha256(text.encode()).hexdigest()


def section(results: Results) -> str:
    """Return two sentences, a table and the place of the figure, in Markdown.

    Raises:
        InputError: the study is not finished.
    """
    groups, tested = results.groups(), findings(results)
    if not tested:
        raise InputError(
            f"space {results.space.name!r} declares no comparison, so that there is no verdict to open with"
        )
    if any(group.n_incomplete for group in groups) or not any(group.name == WINNER for group in groups):
        raise InputError(
            f"study {results.study!r} is not finished: all seeds of its arms and its winner are to be shown"
        )
    shown = {group.name: f"{100 * group.mean_and_std('all')[0]:.1f} %" for group in groups}
    base = results.space.base
    control, *others = [arm.name for arm in results.space.arms if arm.name != "placebo"]
    found = (
        f"On {'handwritten ' * (base.data.name == 'digits')}{base.data.name} a {control} {base.model.name} errs on "
        f"{shown[control]} of corrupted test images, "
        + "".join(f"the one with {name} on {shown[name]}, " for name in others)
        + f"and the best of the search's {len(results.proposals())} complete proposals on {shown[WINNER]} (means over "
        f"{results.space.n_seeds} seeds)."
    )
    head, *verdicts = (line.strip() for line in verdict_lines(tested))
    verdict = f"Compared as declared beforehand, with 95 % intervals, {'; '.join(verdicts)} ({_star(head)})."
    table = _as_markdown(error_table(groups, kind_columns(results.tested)))
    names = ", ".join(group.name for group in groups if group.name != "placebo")
    place = f"![Test error by corruption and severity: {names}](docs/result.png)"
    return "\n".join(["", *map(_wrapped, (found, verdict)), "", table, "", place, "", _SOURCE, "", ""])


def figure(results: Results) -> Image.Image:
    """Return the error of arms and winner by corruption and severity; a placebo's line would be its control's."""
    rows = {
        f"{group.name} ({group.count})": [trial.errors["test"]["corrupted"] for trial in group.trials if trial.errors]
        for group in results.groups()
        if group.name != "placebo"
    }
    return groups_by_severity(rows, results.space.description)


def _star(head: str) -> str:
    """Return what a star says, of the line above the verdicts."""
    return head.partition("; ")[2]


def _wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, _WIDTH, break_on_hyphens=False, break_long_words=False).replace("*", r"\*")


def _as_markdown(table: Table) -> str:
    lines = [table.columns, [":--", *["--:"] * (len(table.columns) - 1)], *table.rows]
    return "\n".join([f"{table.title}:", "", *("| " + " | ".join(row) + " |" for row in lines)])


if __name__ == "__main__":
    sys.exit(main())
