import pytest

from engine.errors import InputError
from engine.extensions import import_modules


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine_syntax", "x = 1\ndef (:\n", r"'mine_syntax' fails.*: SyntaxError: .*line 2"),
        ("mine_needs", "\nimport nowhere_to_be_found\n", r"fails in .*mine_needs.py, line 2: ModuleNotFoundError: "),
        ("mine_raises", "x = 1\n\n1 / 0\n", r"fails in .*mine_raises.py, line 3: ZeroDivisionError: "),
        ("mine_exits", "import sys\nsys.exit(3)\n", r"fails in .*mine_exits.py, line 2: SystemExit: 3"),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(tmp_path, monkeypatch, name, content, words):
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=words):
        import_modules([name])
