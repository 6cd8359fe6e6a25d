import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.metrics import MEASURES
from engine.report.formats import FORMATS, Answer, check_format, write_files, written
from engine.report.latex import as_latex, escaped, table_as_latex
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.spaces import Arm, Comparison, Space
from tests.engine.orchestration.spaces import TINY
from tests.engine.report.studies import BLUR, NOISE, complete, failed, study

NASTY = r"""a_b & 50% of $x {y} #1 \input{z} ^~ <p> "q" 'r' `s` | --by α×β − é 中 [x] * -0.5"""
SPACE = Space(
    name="s",
    base=TINY,
    arms=(Arm("plain", {}, control=True), Arm(NASTY, {"push_pull.where": "first", "finetune.layers": "a,b"})),
    comparisons=(Comparison(NASTY, "plain", ("noise", "clean")),),
    n_seeds=3,
)
RESULTS = study(SPACE, {"plain": [0.5, 0.4, 0.6], NASTY: [0.2, None, 0.3]})


def files(name: str, results: Results = RESULTS) -> dict[str, str]:
    return dict(written(Answer(results), FORMATS[name]))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_a_trial_corruption_and_severity_and_one_for_a_trial_that_failed():
    trials = (complete(0, "plain", 0, 0.5, blur=0.3), failed(1, NASTY, 0))
    found = rows(files("csv", Results("study", SPACE, trials))[""])
    assert [(row["trial"], row["corruption"], row["severity"], row["error"]) for row in found] == [
        ("0", "clean", "0", "0.02"),
        ("0", NOISE, "3", "0.5"),
        ("0", BLUR, "3", "0.3"),
        ("1", "", "", ""),
    ]
    assert found[3]["reason"] == "loss became nan"
    assert [row["group"] for row in found] == ["plain"] * 3 + [NASTY], "to the letter"


def test_csv_has_the_calibration_beside_each_error_and_nothing_where_an_older_trial_has_none():
    old, new = complete(0, "plain", 0, 0.5), complete(1, "plain", 1, 0.5)
    new.errors["test"]["calibration"] = {"ece": 0.125, "nll": 1.5, "brier": 0.25}
    new.errors["test"]["corrupted"][0] |= {"ece": 0.5, "nll": None, "brier": 0.75}
    found = rows(files("csv", Results("study", SPACE, (old, new)))[""])
    assert [[row[name] for name in MEASURES] for row in found] == [
        ["", "", ""],
        ["", "", ""],
        ["0.125", "1.5", "0.25"],
        ["0.5", "", "0.75"],
    ]


def test_csv_has_a_column_for_every_setting_that_varies_with_the_base_s_value_where_it_does_not():
    trial = complete(0, "plain", 0, 0.5)
    other = complete(1, NASTY, 0, 0.5)
    object.__setattr__(other, "settings", {"push_pull.where": "first", "pretrain.milestones": [0.5]})
    found = rows(files("csv", Results("study", SPACE, (trial, other)))[""])
    assert [row["push_pull.where"] for row in found] == ["none", "none", "first", "first"]
    assert [row["pretrain.milestones"] for row in found] == ["[0.4, 0.6, 0.8]"] * 2 + ["[0.5]"] * 2


def test_csv_has_the_groups_with_their_spread_and_all_their_seeds():
    found = {(row["group"], row["errors"]): row for row in rows(files("csv")["-groups"])}
    plain, other = found["plain", "noise"], found[NASTY, "noise"]
    assert float(plain["mean"]) == pytest.approx(0.5)
    assert float(plain["std"]) == pytest.approx(0.1)
    half = 4.302652729911275 * 0.1 / 3**0.5  # t(0.975) of two degrees of freedom
    assert (float(plain["low"]), float(plain["high"])) == pytest.approx((0.5 - half, 0.5 + half))
    assert [other[name] for name in ("n", "n_seeds", "failed", "missing", "dead")] == ["2", "3", "1", "0", "0"]
    nothing = study(SPACE, {"plain": [0.5], NASTY: [None]})
    row = rows(files("csv", nothing)["-groups"])[-1]
    assert (row["group"], row["n"], row["failed"], row["mean"], row["low"]) == (NASTY, "0", "1", "", "")


def test_json_has_the_verdicts_and_no_number_that_is_none():
    value = json.loads(files("json")[""], parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    first, clean = value["verdicts"]
    assert first["errors"] == "noise"
    assert first["differences"] == pytest.approx([-0.3, -0.3])
    assert (first["n"], first["n_seeds"], first["n_family"], first["is_tested"], first["is_shown"]) == (
        2,
        3,
        2,
        True,
        False,
    )
    assert first["detectable"] is None, "two seeds show nothing, whatever the effect"
    assert clean["mean"] == 0
    assert value["verdicts_in_words"][1].startswith(f"  {NASTY} against plain: 30.0 points better under noise [")
    assert len(value["trials"]) == 6
    assert Space.from_json(value["space"]) == SPACE
    assert any("loss became nan" in note for note in value["notes"])


def test_signs_are_escaped():
    assert escaped(r"a_b\c{d}$e&f#g%h~i^j") == (
        r"a\_b\textbackslash{}c\{d\}\$e\&f\#g\%h\textasciitilde{}i\textasciicircum{}j"
    )
    assert escaped("--- –") == r"-{}-{}- \textendash{}"
    assert escaped("a,,b, c") == "a,{},b, c"
    assert escaped("中\x1b\té") == "{[}U+4E2D{]}{[}U+001B{]} é"


def unescaped(text: str) -> str:
    """Return a document without what is escaped: what is left is its own."""
    return re.sub(r"\\[\\{}$&#%_]|\\text\w+\{\}", "", text)


def check_balanced(text: str) -> None:
    left = unescaped(text)
    depth = 0
    for sign in left:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert left.count("$") % 2 == 0
    opened: list[str] = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+)\}", left):
        if word == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened


def test_latex_is_balanced_and_every_row_has_its_columns():
    text = files("latex")[""]
    check_balanced(text)
    assert r"\input" not in unescaped(text).replace(r"\usepackage[utf8]{inputenc}", "")
    assert not re.search(r"\\(hline|cline|vline)\b", text), "lines are of booktabs"
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        columns, body = table
        assert set(columns) <= {"l", "r"}
        rules = re.findall(r"\\(\w+rule)\n", body)
        assert (rules[0], rules[1], rules[-1]) == ("toprule", "midrule", "bottomrule")
        assert set(rules[1:-1]) == {"midrule"}
        found = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert found
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in found} == {len(columns)}
        assert all(line.startswith("{}") for line in found), "no row begins with what its line before could take"


def test_numbers_have_a_minus_and_names_their_hyphens():
    table = Table("", ("", "x"), [("push-pull -1", "-1.5 [-2.0, -1.0]")], align="lr", caption="c_d")
    text = table_as_latex(table)
    assert "{}push-pull -1 & $-$1.5 [$-$2.0, $-$1.0] \\\\" in text
    assert r"c\_d" in text


def lacks_tex() -> str:
    """Return why a document cannot be compiled here; "" where it can."""
    if shutil.which("pdflatex") is None:
        return "no pdflatex on this machine"
    packages = [f"{name}.sty" for name in re.findall(r"\\usepackage(?:\[.*\])?\{(\w+)\}", files("latex")[""])]
    found = subprocess.run(["kpsewhich", *packages], capture_output=True, text=True, check=False).stdout
    missing = [name for name in packages if f"/{name}\n" not in found]
    return f"this machine's TeX lacks {', '.join(missing)}" if missing else ""


@pytest.mark.skipif(bool(lacks_tex()), reason=lacks_tex())
def test_latex_compiles_and_every_sign_is_printed(tmp_path):
    (tmp_path / "s.tex").write_text(files("latex")[""])
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "s.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "s.pdf").stat().st_size > 1000
    assert "Missing character" not in (tmp_path / "s.log").read_text(errors="replace")


def test_an_empty_row_is_a_line():
    assert as_latex([Table("", ("a",), [("1",), (), ("2",)])], title="t").count(r"\midrule") == 2


@pytest.mark.parametrize("name", FORMATS)
def test_a_study_without_a_complete_trial_is_refused_where_there_is_nothing_to_write(name):
    empty, broken = Results("study", SPACE, ()), study(SPACE, {"plain": [None, None, None]})
    if name == "text":
        assert "no trial completed: there is nothing to compare" in files(name, broken)[""]
        assert files(name, empty)[""] == "study study: no trial has ended yet\n"
        return
    for results, words in ((empty, "none has ended"), (broken, "3 have ended")):
        with pytest.raises(
            InputError, match=rf"study 'study' has no complete trial \({words}\): .*`--format text` says why"
        ):
            files(name, results)


def test_a_study_that_is_running_is_said_to_be():
    running = Results("study", SPACE, RESULTS.trials, is_running=True)
    line = "study study is still running: what follows is of the 6 trials that have ended"
    assert files("text", running)[""].startswith(line)
    assert json.loads(files("json", running)[""])["notes"][0] == line
    assert line in files("latex", running)[""]


@pytest.mark.parametrize(
    ("name", "output", "match"),
    [
        ("cvs", None, "unknown format of the report 'cvs' .did you mean 'csv'"),
        ("csv", None, "`--format csv` writes more than one file: say where, with `--output FILE`"),
        ("json", ".", "`--output` must be a file, got the folder"),
        ("json", "missing/x.json", "there is no folder .*missing to write x.json into"),
    ],
)
def test_a_format_and_its_file_are_checked_first(name, output, match, tmp_path):
    with pytest.raises(InputError, match=match):
        check_format(name, None if output is None else tmp_path / output)


def test_files_lie_beside_each_other(tmp_path):
    paths = write_files({"": "a", "-groups": "b"}, tmp_path / "x.y.csv")
    assert [path.name for path in paths] == ["x.y.csv", "x.y-groups.csv"]
    assert paths[1].read_text() == "b"
    (tmp_path / "d-groups.csv").mkdir()
    with pytest.raises(InputError, match=r"`--output` cannot be written: .*d-groups.csv \(Is a directory\)"):
        write_files({"-groups": "b"}, Path(tmp_path / "d.csv"))
