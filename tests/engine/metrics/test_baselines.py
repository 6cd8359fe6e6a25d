import json

import pytest

from engine.corruptions import CORRUPTIONS
from engine.errors import InputError
from engine.metrics import NAMED_BASELINES, corruption_scores, errors_as_csv, load_baseline
from tests.engine.corruptions.reference import reference_path
from tests.engine.metrics.test_paper import CLEAN, ERRORS

ROWS = [
    {"corruption": name, "severity": severity, "error": error}
    for name, errors in {"fog": (0.1, 0.3), "snow": (0.2, 0.6)}.items()
    for severity, error in zip((1, 5), errors, strict=True)
]


def test_the_papers_alexnet_is_that_of_its_appendix():
    baseline = load_baseline("alexnet-paper")
    assert list(baseline.errors) == list(CORRUPTIONS)
    assert baseline.errors == pytest.approx({name: row[0] / 100 for name, row in ERRORS.items()})
    assert baseline.clean_error == pytest.approx(CLEAN["AlexNet"] / 100)


def test_imagenet_s_alexnet_is_the_published_one():
    published = json.loads(reference_path("successors/imagenet_c_constants.json").read_text())["alexnet"]
    baseline = load_baseline("alexnet-imagenet-c")
    assert baseline.errors == pytest.approx(published["mean_error"], abs=1e-12)
    assert baseline.clean_error == published["clean_error"]
    means = {name: sum(errors) / 5 for name, errors in published["error_by_severity"].items()}
    assert {name: baseline.errors[name] for name in means} == pytest.approx(means, abs=1e-9)


def test_the_papers_resnet_20_has_the_papers_scores_against_it():
    table = {(name, severity): row[1] / 100 for name, row in ERRORS.items() for severity in range(1, 6)}
    scores = corruption_scores(table, CLEAN["ResNet-20"] / 100, load_baseline("alexnet-paper"))
    assert (round(100 * scores.mCE), round(100 * scores.rCE)) == (104, 169)


def test_a_written_table_is_a_baseline(tmp_path):
    path = tmp_path / "errors.csv"
    path.write_text(errors_as_csv(ROWS, 0.05))
    assert path.read_text().splitlines()[:3] == ["corruption,severity,error", ",0,0.05", "fog,1,0.1"]
    baseline = load_baseline(str(path))
    assert baseline.errors == pytest.approx({"fog": 0.2, "snow": 0.4})
    assert (baseline.clean_error, baseline.severities) == (0.05, (1, 5))
    assert baseline.source == f"baseline {path}"


def test_a_table_with_calibration_is_the_same_baseline(tmp_path):
    path = tmp_path / "errors.csv"
    rows = [{**row, "ece": 0.25, "nll": None, "brier": 1.5} for row in ROWS]
    path.write_text(errors_as_csv(rows, 0.05, {"ece": 0.5, "nll": 2.0, "brier": 1.0}))
    assert path.read_text().splitlines()[:3] == [
        "corruption,severity,error,ece,nll,brier",
        ",0,0.05,0.5,2.0,1.0",
        "fog,1,0.1,0.25,,1.5",
    ]
    assert load_baseline(path).errors == pytest.approx({"fog": 0.2, "snow": 0.4})
    for text, message in {
        "corruption,severity,error,ece\n,0,0.1,0.5\nfog,1,0.5": "line 3: it has 3 values, the first line 4",
        "corruption,severity,error,loss\n": "the first line must be corruption,severity,error, which ece,nll,brier may",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_baseline(path)


@pytest.mark.parametrize(
    "content",
    [
        {"clean": 0.05, "errors": {"fog": 0.2, "snow": 0.4}},
        {"objective": 0.3, "test": {"clean": 0.05, "tuned_distortion": None, "corrupted": ROWS}},
    ],
)
def test_json_is_a_baseline(tmp_path, content):
    path = tmp_path / "errors.json"
    path.write_text(json.dumps(content))
    baseline = load_baseline(str(path))
    assert baseline.errors == pytest.approx({"fog": 0.2, "snow": 0.4})
    assert baseline.clean_error == 0.05


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "fog,1,0.5", "a.csv: the first line must be corruption,severity,error"),
        ("a.csv", "", "a.csv: the first line must be"),
        ("a.csv", "corruption,severity,error\nfog,1,0.5", "a.csv: there is no line of clean images"),
        ("a.csv", "corruption,severity,error\n,0,0.1", "the error table is empty"),
        ("a.csv", "corruption,severity,error\n,0,0.1\nfog,1", "a.csv, line 3: not enough values"),
        ("a.csv", "corruption,severity,error\n,0,0.1\nfog,1,high", "line 3: could not convert string to float: 'high'"),
        ("a.csv", "corruption,severity,error\n,0,0.1\nfog,1,.5\nfog,1,.6", "line 4: fog, severity 1 is there twice"),
        ("a.csv", "corruption,severity,error\n,0,0.1\nfog,1,nan", "a.csv: .* got nan for fog, severity 1"),
        ("a.csv", "corruption,severity,error\n,0,13\nfog,1,0.5", "a.csv: .* fractions in 0…1, got 13.0 for clean"),
        (
            "a.csv",
            "corruption,severity,error\n,0,0.1\nfog,1,.5\nsnow,2,.5",
            "a.csv: every corruption must have the same",
        ),
        ("a.json", "{", "a.json is no JSON"),
        ("a.json", "[]", "a.json must be an evaluation's errors.json or"),
        ("a.json", '{"clean": 0.1}', "a.json must be .*KeyError: 'errors'"),
        ("a.json", '{"clean": 0.1, "errors": {"fog": NaN}}', "a.json: .* got nan for fog"),
        ("a.json", '{"clean": 0.1, "errors": {"fog": 0}}', "a.json must err for a ratio to it, its error is 0 for fog"),
    ],
)
def test_files_that_are_no_baseline_are_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_baseline(str(path))


def test_a_baseline_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown baseline .* 'alexnet-papr' \(did you mean 'alexnet-paper'\?\)"):
        load_baseline("alexnet-papr")
    with pytest.raises(InputError, match=r"baseline file cannot be read: .*none\.csv"):
        load_baseline(str(tmp_path / "none.csv"))


@pytest.mark.parametrize("name", NAMED_BASELINES)
def test_a_named_baseline_says_so_where_errors_are_of_other_images(name):
    baseline = load_baseline(name)
    of, other, measured_on = {
        "alexnet-paper": ("cifar10", "imagefolder:/images", "CIFAR-10-C"),
        "alexnet-imagenet-c": ("imagefolder:/images", "cifar10", "ImageNet-C"),
    }[name]
    assert baseline.against(of).note == ""
    for dataset in (other, "digits", "folder:/images"):
        said = f"baseline {name} was measured on {measured_on}, these errors on {dataset}: ratios to it mean little"
        assert baseline.against(dataset).note == said


def test_a_baseline_that_does_not_say_its_images_is_held_against_any(tmp_path):
    (tmp_path / "a.csv").write_text("corruption,severity,error\n,0,0.1\nfog,1,0.2")
    assert load_baseline(tmp_path / "a.csv").against("digits").note == ""
