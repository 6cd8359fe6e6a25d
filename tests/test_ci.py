"""The checks of a change run the README's own command, with whichever supported Python a machine has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def chosen(tmp_path: Path, versions: dict[str, str], **environment: str) -> subprocess.CompletedProcess:
    """Run ``.ci/python`` where the path has interpreters of some names and versions only."""
    for name, version in versions.items():
        numbers = ", ".join(version.split("."))
        script = f"#!/bin/sh\n\"$REAL\" -c \"import sys; sys.version_info = ({numbers}); exec('''$2''')\"\n"
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    real = sys.executable
    variables = {"PATH": str(tmp_path), "REAL": real, "HOME": os.environ.get("HOME", "/"), **environment}
    command = ["/bin/bash", str(ROOT / ".ci" / "python")]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("versions", "name"),
    [
        ({"python3": "3.11.7"}, "python3"),
        ({"python3": "3.13.0"}, "python3"),
        ({"python3": "3.10.13", "python3.12": "3.12.1"}, "python3.12"),
        ({"python3": "3.14.0", "python3.13": "3.13.0", "python3.11": "3.11.7"}, "python3.11"),
        ({"python3.13": "3.13.0"}, "python3.13"),
    ],
)
def test_any_supported_python_will_do(tmp_path, versions, name):
    done = chosen(tmp_path, versions)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / name)), done.stderr


def test_a_machine_without_one_is_told(tmp_path):
    done = chosen(tmp_path, {"python3": "3.10.13"})
    assert done.returncode == 1
    assert "none of python3, python3.11, python3.12, python3.13 is a Python 3.11, 3.12 or 3.13" in done.stderr
    done = chosen(tmp_path, {"python3": "3.11.7", "mine": "3.10.1"}, PYTHON="mine")
    assert done.returncode == 1, "what is asked for is not replaced in silence"


def test_the_readme_names_no_single_python_and_the_checks_find_its_command():
    readme, checks = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^(\S+) -m venv .*$", readme, flags=re.MULTILINE)
    assert commands == ["python3", "python3"]
    pattern = re.search(r'grep -m1 "(.*)" README.md', checks)
    assert pattern is not None
    assert len(re.findall(pattern[1], readme, flags=re.MULTILINE)) == 1
    for version in ("3.11", "3.12", "3.13"):
        assert version in readme
