import dataclasses

import pytest

from engine.errors import InputError
from engine.report.formats import FORMATS, Answer
from engine.report.page.report_page import as_page
from engine.report.text_tables import Table
from engine.report.views import VIEWS, Plot, Shown, check_view, find_view, register_view, view_parts
from engine.spaces import Space, load_space
from tests.engine.report.small_study import RESULTS


def shown(name: str) -> Shown:
    return Shown(dataclasses.replace(RESULTS, space=dataclasses.replace(RESULTS.space, view=name)))


def test_a_space_s_view_makes_parts_of_results():
    @register_view("mine")
    def show(shown):
        yield "a sentence"
        yield Table(
            "counts", ("arm", "trials"), [(group.name, str(len(group.trials))) for group in shown.results.groups()]
        )

    parts = view_parts(shown("mine"))
    assert parts[0] == "a sentence"
    assert parts[1].rows[0] == ("plain", str(len(RESULTS.groups()[0].trials)))
    assert view_parts(Shown(RESULTS)) == [], "most spaces have no view of their own"


def test_every_form_of_the_report_has_the_view():
    data = Table("drawn", ("x", "y"), [("1", "2_3")])
    beside = Table("beside", ("", "a"), [("row", "0.5 & more")])

    @register_view("mine")
    def show(shown):
        return [beside, Plot("bars", lambda: 1 / 0, data), Plot("again", lambda: 1 / 0, beside)]

    results = shown("mine").results
    answer = Answer(results, view=view_parts(Shown(results)))
    written = {name: form.write(answer) for name, form in FORMATS.items()}
    assert "0.5 & more" in written["text"][""]
    assert written["text"][""].count("0.5 & more") == 1
    assert "2_3" not in written["text"][""] + written["latex"][""], "the numbers of a picture can be hundreds"
    assert "picture bars, drawn: `--figures FOLDER` draws it" in written["text"][""]
    assert written["csv"]["-view-1"] == ",a\nrow,0.5 & more\n"
    assert written["csv"]["-view-2"] == "x,y\n1,2_3\n", "of a picture its numbers"
    assert "-view-3" not in written["csv"], "they are a table of the view"
    assert "not drawn: bars (ZeroDivisionError: division by zero)" in written["page"][""]
    assert '"title": "beside"' in written["json"][""]
    assert r"0.5 \& more" in written["latex"][""]


def test_what_a_view_cannot_show_is_a_sentence():
    @register_view("half")
    def half(shown):
        yield "first"
        shown.artifact(shown.results.trials[0], "rank")

    @register_view("broken")
    def broken(shown):
        yield "first"
        raise ZeroDivisionError("by nothing")

    @register_view("odd")
    def odd(shown):
        return [3]

    first, rest = view_parts(shown("half"))
    assert first == "first"
    assert "not shown: the rest of view 'half': trial" in rest
    assert view_parts(shown("broken"))[1] == "not shown: the rest of view 'broken' fails: ZeroDivisionError: by nothing"
    assert "must give text, a Table or a Plot, got int" in view_parts(shown("odd"))[0]


def test_a_view_that_is_not_registered_is_named():
    (sentence,) = view_parts(shown("nowhere"))
    assert "--import" in sentence
    assert "unknown view 'nowhere'" in sentence
    with pytest.raises(InputError, match="space 'x': unknown view 'nowhere'"):
        check_view(Space(name="x", arms=RESULTS.space.arms, view="nowhere"))


def test_a_view_of_the_project_is_found_by_its_space_s_name():
    assert find_view(load_space("push-pull-table-4")) is VIEWS["push-pull-table-4"]
    assert find_view(Space(name="y", arms=RESULTS.space.arms)) is None


def test_a_space_keeps_its_view_and_its_digest():
    space = Space(name="x", arms=RESULTS.space.arms, view="mine")
    assert Space.from_json(space.to_json()) == space
    assert dataclasses.replace(space, view="").digest == space.digest, "how it is shown decides no trial"
    with pytest.raises(InputError, match="the view of space 'x' must be the name"):
        Space(name="x", arms=RESULTS.space.arms, view=3)


def test_the_page_has_a_view_s_pictures_in_itself():
    def draw():
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot([1, 2])
        return figure

    page = as_page(RESULTS, view=["a <b>sentence", Plot("bars", draw, Table('drawn "so" <i>', ("x",), [("2.5",)]))])
    assert "As its space shows it" in page
    assert "a &lt;b&gt;sentence" in page
    assert '<img class="plot" alt="drawn &quot;so&quot; &lt;i&gt;" src="data:image/svg+xml;base64,' in page
    assert "2.5</td>" in page
    assert "As its space shows it" not in as_page(RESULTS)
