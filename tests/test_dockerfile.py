"""The images' description agrees with the project. There is no docker here: they are not built."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.test_constraints import PYTHON, pinned

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def copied() -> list[str]:
    return [word for line in LINES if line.startswith("COPY") for word in line.split()[1:-1] if word[:2] != "--"]


def test_the_image_it_starts_from_is_of_the_pinned_ray_and_of_the_constraints_python() -> None:
    (image,) = [line.removeprefix("FROM ") for line in LINES if line.startswith("FROM ")]
    assert image == f"rayproject/ray:{pinned()['ray']}-py{PYTHON.replace('.', '')}-cpu"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = project["requires-python"].removeprefix(">=")
    assert tuple(map(int, PYTHON.split("."))) >= tuple(map(int, least.split(".")))


def test_every_installation_is_held_to_the_constraints() -> None:
    installations = [line for line in LINES if "pip install" in line]
    assert len(installations) == 2
    assert all("-c constraints.txt" in line for line in installations)


def test_its_extras_are_the_projects() -> None:
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", TEXT)
    assert set(extras.split(",")) <= set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )


def test_what_it_copies_is_there_and_docker_is_sent_just_that() -> None:
    sent = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    assert sorted(copied()) == sorted(sent)
    assert all((ROOT / name).exists() for name in sent)


def test_the_packages_it_copies_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.removesuffix("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    assert {name for name in copied() if (ROOT / name).is_dir()} == set(packages)


@pytest.mark.slow
def test_without_the_code_the_project_is_installed_as_its_name_and_requirements(tmp_path: Path) -> None:
    before = TEXT[: TEXT.index("COPY --chown=ray engine")]
    for name in re.findall(r"^COPY --chown=ray (.*) \./$", before, flags=re.MULTILINE)[0].split():
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", "."]
    subprocess.run(words, cwd=tmp_path, check=True, timeout=200)
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert all(".dist-info/" in name for name in zipfile.ZipFile(wheel).namelist())
