"""The page of a report: what it has, that it is escaped, small, and asks nobody for anything."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.report.formats import FORMATS, Answer, written
from engine.report.page.drawing import Drawing, Picture
from engine.report.page.page_parts import PageContent, Remake
from engine.report.page.report_page import as_page
from engine.report.page.stored_values import StoredValues, Strengths, TunedFilters
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.spaces import Arm, Comparison, Space
from tests.engine.orchestration.spaces import TINY
from tests.engine.report.page.large import large_study
from tests.engine.report.studies import study

NASTY = """</script><img src=x onerror=alert(1)> & "q" 'r' {{ 7 * 7 }} {% raw %} <b>$x</b> http://example.invalid/"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MEGABYTES = 5


@pytest.fixture(scope="module")
def large() -> Results:
    return large_study(1000)


@pytest.fixture(scope="module")
def stored(large) -> StoredValues:
    keys = {key for trial in large.trials for key in trial.stages.values()}
    proposal = next(trial for trial in large.proposals() if "finetune" in trial.stages)
    points = {"points": [3.0, 0.0, 12.0, 1.0], "mean_distance": [0.2, 0.0, 0.7, 0.1], "rule": "borda", "n_images": 4}
    return StoredValues(
        seconds=dict.fromkeys(keys, 2.0),
        made_on={key: {"python": "3.11", "torch": "2.9", "host": NASTY} for key in keys},
        filters=(TunedFilters(proposal, {"conv1": points}, {"conv1": [2]}),),
        strengths=(Strengths(large.trials[0], {"conv1": [0.9, 1.1, 1.3]}),),
    )


@pytest.fixture(scope="module")
def page(large, stored) -> str:
    return as_page(large, stored, remake=Remake("python -m pipelines.report", "python -m pipelines.sweep"))


class Elements(HTMLParser):
    """Everything of a page that is an element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.found}


def test_the_page_of_a_thousand_trials_is_small_and_whole(page):
    assert len(page.encode()) <= MEGABYTES * 1e6
    assert page.count("<figure>") == 13
    for picture in re.findall(r"<figure>(.*?)</figure>", page, flags=re.DOTALL):
        assert re.search(r"<svg [^>]*>.*<(path|rect) ", picture), "no figure is empty"
        assert re.search(r"<summary>data \([1-9]\d* rows\)</summary>", picture), "and its data is one click away"
        assert re.search(r"<tbody>\s*<tr>", picture)


def test_every_coordinate_of_every_figure_is_a_number(page):
    for svg in re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL):
        assert not re.search(r"\b(nan|inf)\b", re.sub(r"<(text|title)[^>]*>.*?</\1>", "", svg))
        for width, height in re.findall(r'<rect [^>]*width="([^"]*)" height="([^"]*)"', svg):
            assert float(width) > 0
            assert float(height) >= 0


def test_the_page_refers_to_nothing_outside_of_itself(page):
    for tag, attributes in Elements(page).found:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert "@import" not in page
    assert not re.search(r"url\s*\(", page)


def test_what_a_user_named_is_shown_as_it_is_and_adds_no_element():
    space = Space(
        name="s",
        description=NASTY,
        base=TINY,
        arms=(Arm("plain", {}, control=True), Arm(NASTY, {"push_pull.where": "first"})),
        comparisons=(Comparison(NASTY, "plain", ("noise", "clean")),),
    )
    results = study(space, {"plain": [0.4, 0.5, 0.6, 0.4, 0.5, 0.45], NASTY: [0.2, 0.3, None, 0.2, 0.3, 0.3]})
    named = as_page(replace(results, study=NASTY), remake=Remake(NASTY, NASTY))
    plain = as_page(results, remake=Remake("page", "sweep")).replace(escape(NASTY), "x")
    assert Elements(named).tags == Elements(plain).tags
    assert "img" not in Elements(named).tags
    assert len(Elements(named).found) == len(Elements(plain).found)
    assert not any(name.startswith("on") for _, attributes in Elements(named).found for name in attributes)
    assert "{{ 7 * 7 }}" in named, "it is no template"
    assert named.count("</script>") == 1


def test_signs_that_no_page_can_have_are_seen():
    drawing = Drawing(10, 10, "l\x00")
    drawing.text(0, 0, "a\x00b\ud800<c>")
    assert "a␀b?&lt;c&gt;" in drawing.svg()
    results = study(Space(name="s", base=TINY, arms=(Arm("p", {}),), description="x\x1b[31m"), {"p": [0.1, 0.2]})
    assert "x␛[31m" in as_page(results)


def test_words_that_are_too_long_for_their_place_are_whole_in_a_hint():
    drawing = Drawing(100, 10, "label")
    drawing.text(0, 0, "a" * 50, most=60)
    assert re.search(r">a{8}…<title>a{50}</title>", drawing.svg())


def small() -> Results:
    space = Space(name="s", base=TINY, arms=(Arm("plain", {}), Arm("other", {"push_pull.where": "first"})))
    return study(space, {"plain": [0.4, 0.5], "other": [0.2, 0.3]})


def section(results: Results, title: str, stored: StoredValues | None = None):
    content = PageContent(results, stored or StoredValues(), (), Remake())
    return next(found for found in content.sections() if found.title == title)


def test_what_a_page_cannot_show_it_says():
    said = " ".join(map(str, section(small(), "What this page does not show").parts))
    for words in (
        "space s declares no comparisons, so that nothing is tested",
        "no arm is a control that another one could be compared with",
        "space s has no axes",
        "no trial has told errors by step",
        "the study does not say when its trials ran",
        "no complete trial has tuned filters",
        "no network of an arm or of the best proposal that is in the store has learned its inhibition strength",
        "no stage is in a store that could be read",
        "no stage says with which versions and machines it was made",
        "the study does not say by which command it was swept",
    ):
        assert words in said


def test_of_several_objectives_it_says_that_none_was_pruned_by():
    results = replace(small(), objectives=("clean", "corrupted"))
    missing = section(results, "What this page does not show").parts
    assert (
        "trials that are compared by several objectives are never pruned: there is nothing that pruners saw" in missing
    )
    assert not any("has told errors by step" in str(sentence) for sentence in missing)


def test_a_page_of_a_running_study_says_so():
    line = "study study is still running: what follows is of the 4 trials that have ended"
    assert line in as_page(replace(small(), is_running=True))
    assert line not in as_page(small())


def test_a_verdict_that_is_shown_is_marked():
    space = Space(
        name="s",
        base=TINY,
        arms=(Arm("plain", {}, control=True), Arm("less", {"push_pull.where": "first"})),
        comparisons=(Comparison("less", "plain", ("noise", "clean")),),
    )
    plain = [0.40, 0.52, 0.45, 0.38, 0.47, 0.41]
    shown = study(space, {"plain": plain, "less": [0.20, 0.28, 0.22, 0.21, 0.24, 0.22]})
    found = [part for part in section(shown, "Verdicts").parts if type(part).__name__ == "Verdict"]
    assert [part.is_shown for part in found] == [True]
    unshown = study(space, {"plain": plain, "less": [value + 0.001 * (-1) ** i for i, value in enumerate(plain)]})
    found = [part for part in section(unshown, "Verdicts").parts if type(part).__name__ == "Verdict"]
    assert [part.is_shown for part in found] == [False]


def test_a_star_in_a_name_shows_nothing():
    starred = "a *; b * ("
    space = Space(
        name="s",
        base=TINY,
        arms=(Arm("plain", {}), Arm(starred, {"push_pull.where": "first"})),
        comparisons=(Comparison(starred, "plain", ("noise",)),),
        n_seeds=2,
    )
    parts = section(study(space, {"plain": [0.4, 0.5], starred: [0.3, 0.5]}), "Verdicts").parts
    assert [part.is_shown for part in parts if type(part).__name__ == "Verdict"] == [False]
    assert any(str(part).startswith("with 2 seeds nothing can be shown") for part in parts)


def test_the_forests_numbers_are_those_of_the_json(large):
    groups = json.loads(written(Answer(large), FORMATS["json"])[""])["groups"]
    expected = {(row["errors"], row["group"]): row for row in groups}
    forest = next(
        part
        for part in section(large, "Arms").parts
        if isinstance(part, Picture) and part.title.startswith("Test errors")
    )
    assert forest.data.rows
    for column, group, mean, low, high, seeds in forest.data.rows:
        row = expected[column, group]
        shown = [float(cell) / 100 for cell in (mean, low, high)]
        assert shown == pytest.approx([row["mean"], row["low"], row["high"]], abs=1e-5)
        assert len(seeds.split()) == row["n"] == 6


def test_an_interval_is_the_same_in_the_table_and_in_the_figure():
    """Two seeds far apart have one that reaches beyond 100 %."""
    space = Space(name="s", base=TINY, arms=(Arm("plain", {}),), n_seeds=2)
    parts = section(study(space, {"plain": [0.70, 0.99]}), "Arms").parts
    table = next(part for part in parts if isinstance(part, Table))
    forest = next(part for part in parts if isinstance(part, Picture))
    cell = dict(zip(table.columns, table.rows[0], strict=True))["all"]
    low, high = next((row[3], row[4]) for row in forest.data.rows if row[0] == "all")
    assert cell.splitlines()[1] == f"[{float(low):.1f}, {float(high):.1f}]"
    assert float(high) > 100


def test_the_heat_map_has_the_mean_of_every_cell(large):
    figures = [part for part in section(large, "By corruption and severity").parts if isinstance(part, Picture)]
    lines, heat = figures
    assert len(lines.panels) == 19
    assert len(heat.data.rows) == 3 * 95
    trials = [trial for trial in large.trials if trial.group == "plain"]
    mean = sum(trial.table["fog", 3] for trial in trials) / len(trials)
    assert ("plain", "fog", "3", f"{100 * mean:.2f}") in [row[:4] for row in heat.data.rows]
    assert f">{100 * mean:.1f}</text>" in heat.panels[0]


def test_a_page_has_a_column_for_each_corruption_where_that_is_asked_for(large):
    titles = re.findall(r"<h3>Test error in %: ([^<]*)</h3>", as_page(large, by="corruption"))
    assert titles[1:] == ["noise", "blur", "weather", "digital"]
    assert len(re.findall(r"<h3>Test error in %: ([^<]*)</h3>", as_page(large))) == 1
    with pytest.raises(InputError, match=r"unknown way to open the tables up \(by\) 'severity'"):
        as_page(large, by="severity")


def test_a_page_is_one_of_the_forms():
    assert written(Answer(small()), FORMATS["page"])[""].startswith("<!DOCTYPE html>")


def chromium(page: Path, folder: Path, *options: str) -> str:
    """Open a page in a browser of its own; return what its console and its document say."""
    words = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", *options]
    done = subprocess.run([*words, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line) + "\n" + done.stdout


def asked_by_pages(log: Path) -> set[str]:
    """Return the addresses that pages, and not the browser itself, have asked for by a network."""
    found = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    return {
        of["url"]
        for of in found
        if str(of.get("url", "")).startswith(("http", "ws", "ftp"))
        and not of.get("initiator", "not an origin").startswith(("not an origin", "chrome"))
    }


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_finds_no_error_and_asks_nobody(page, tmp_path):
    file, log = tmp_path / "page.html", tmp_path / "net.json"
    file.write_text(page)
    said = chromium(file, tmp_path, f"--log-net-log={log}")
    assert "CONSOLE" not in said
    assert said.count('<button class="save">') == page.count("<table"), "its program has run"
    assert not asked_by_pages(log)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_would_be_heard_that_finds_an_error_or_asks_somebody(tmp_path):
    file, log = tmp_path / "page.html", tmp_path / "net.json"
    page = re.sub("<meta http-equiv=[^>]*>", "", as_page(small()))
    file.write_text(
        page.replace("</body>", '<img src="http://example.invalid/x.png"><script>missing()</script></body>')
    )
    assert "missing is not defined" in chromium(file, tmp_path, f"--log-net-log={log}")
    assert asked_by_pages(log) == {"http://example.invalid/x.png"}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_on_a_narrow_screen_names_leave_room_for_numbers_and_stay_beside_them(large, tmp_path):
    file = tmp_path / "page.html"
    name = "the arm with a name that is as long as an ablation makes them: random filters for selection"
    page = as_page(large).replace("<td>push-pull</td>", f"<td>{name}</td>").replace("</body>", f"{_MEASURE}</body>")
    assert name in page
    file.write_text(page)
    said = chromium(file, tmp_path, "--window-size=500,900")
    shares, sides = re.search(r"<title>first column: ([\d.]+), ([a-z]+)</title>", said).groups()  # type: ignore[union-attr]
    assert float(shares) < 0.5
    assert sides == "sticky"


_MEASURE = """<script>
const cells = [...document.querySelectorAll(".scroll td:first-child")]
  .filter((cell) => cell.offsetWidth);
const shares = cells.map((cell) => cell.offsetWidth / cell.closest(".scroll").clientWidth);
document.title = `first column: ${Math.max(...shares).toFixed(2)}, ${getComputedStyle(cells[0]).position}`;
</script>"""


def test_a_page_forbids_a_browser_to_ask_anybody(page):
    [rules] = [of["content"] for tag, of in Elements(page).found if of.get("http-equiv") == "Content-Security-Policy"]
    assert rules is not None
    sources = dict(rule.strip().split(" ", 1) for rule in rules.split(";"))
    assert sources["default-src"] == "'none'"
    assert set(" ".join(sources.values()).split()) == {"'none'", "'unsafe-inline'", "data:"}
