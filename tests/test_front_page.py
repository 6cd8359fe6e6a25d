import dataclasses

import pytest
from PIL import Image

from engine.errors import InputError
from engine.report.results import Results
from engine.spaces import Comparison
from tests import front_page
from tests.engine.report.small_study import RESULTS

COMPARED = dataclasses.replace(RESULTS.space, comparisons=(Comparison("push-pull", "plain", ("noise", "clean")),))
FINISHED = dataclasses.replace(RESULTS, space=COMPARED)


def test_what_readme_opens_with_was_written_by_the_script_with_its_figure() -> None:
    section = front_page.section_of(front_page.README.read_text(encoding="utf-8"))
    assert section is not None
    with Image.open(front_page.FIGURE) as figure:
        assert figure.info[front_page.DIGEST] == front_page.digest_of(section)


def test_the_study_s_numbers_stand_where_the_marks_are(tmp_path) -> None:
    readme, picture = tmp_path / "README.md", tmp_path / "result.png"
    readme.write_text(f"# Title\n\n{front_page.BEGIN}\nold\n{front_page.END}\n\n## Run it\n")
    front_page.write(FINISHED, readme, picture)
    text = readme.read_text()
    assert text.startswith(f"# Title\n\n{front_page.BEGIN}\n\nOn handwritten digits a plain resnet-8 errs on 52.5 %")
    assert text.endswith(f"{front_page.END}\n\n## Run it\n")
    assert "| plain | 2 of 2 | 2.0 ±0.0 | 55.0 ±14.1 | 50.0 ±0.0 | 52.5 ±7.1 |" in text
    assert "push-pull against plain: 25.0 points better under noise" in text.replace("\n", " ")
    section = front_page.section_of(text)
    assert section is not None
    assert "old" not in section
    with Image.open(picture) as figure:
        assert figure.info[front_page.DIGEST] == front_page.digest_of(section)
        assert len(figure.convert("L").histogram()) > 2
    front_page.write(FINISHED, readme, picture)
    assert readme.read_text() == text


@pytest.mark.parametrize(
    ("results", "readme", "sentence"),
    [
        (FINISHED, "# Title", "must have the lines"),
        (RESULTS, front_page.BEGIN + "\n" + front_page.END + "\n", "declares no comparison"),
        (
            dataclasses.replace(FINISHED, trials=FINISHED.trials[1:]),
            front_page.BEGIN + "\n" + front_page.END + "\n",
            "is not finished",
        ),
    ],
)
def test_what_cannot_be_shown_changes_nothing(tmp_path, results: Results, readme: str, sentence: str) -> None:
    (tmp_path / "README.md").write_text(readme)
    with pytest.raises(InputError, match=sentence):
        front_page.write(results, tmp_path / "README.md", tmp_path / "result.png")
    assert (tmp_path / "README.md").read_text() == readme
    assert not (tmp_path / "result.png").exists()
