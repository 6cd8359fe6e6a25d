"""The versions that a cluster's machines get: `python -m tests.test_constraints` writes this environment's."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILE = ROOT / "constraints.txt"
PYTHON = "3.11"
"""The Python that the file is for: that of the images."""
EXTRAS = ("cluster", "aws", "postgres", "s3")
PINNED_BY_TORCH = ("nvidia-", "cuda-", "triton")
"""Beginnings of the names that torch itself pins, or does without on CPUs."""
HEADER = """\
# The versions of everything that runs on a cluster, so that all of its machines have the same: for the images of the
# Dockerfile and for ray_cluster_local.yaml. Of Python 3.11, and of the newest releases when it was written, which
#   python -m tests.test_constraints
# does anew from the environment that it runs in. What torch pins itself (CUDA's libraries) is left to it.
"""


def _requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = [*project["dependencies"], *(word for extra in EXTRAS for word in project["optional-dependencies"][extra])]
    return [Requirement(word) for word in words if not word.startswith("robustune[")]


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def _needed(name: str, extras: set[str]) -> list[Requirement]:
    """Return what an installed package needs, with some of its extras."""
    needed = [Requirement(word) for word in metadata.requires(name) or ()]
    return [each for each in needed if _applies(each, extras)]


def _installed() -> dict[str, str]:
    """Return {name: version} of all that the project needs on a cluster, as it is installed here."""
    waiting = [requirement for requirement in _requirements() if _applies(requirement, set())]
    seen, found = set(), {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen or name.startswith(PINNED_BY_TORCH):
            continue
        seen.add((name, *sorted(requirement.extras)))
        found[name] = metadata.version(name).partition("+")[0]
        waiting += _needed(name, requirement.extras)
    return found


def pinned() -> dict[str, str]:
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_every_requirement_of_the_project_is_met_by_its_pin() -> None:
    pins = pinned()
    for requirement in _requirements():
        if requirement.marker is None or requirement.marker.evaluate({"python_version": PYTHON}):
            name = canonicalize_name(requirement.name)
            assert name in pins, f"{name} would be of another version on each machine"
            assert requirement.specifier.contains(pins[name]), f"{requirement}, but {pins[name]} is pinned"


@pytest.mark.skipif("{}.{}".format(*sys.version_info) != PYTHON, reason=f"the file is for Python {PYTHON}")
def test_whatever_these_need_in_turn_is_pinned_as_well() -> None:
    pins, installed = pinned(), _installed()
    for name, version in installed.items():
        if pins.get(name) == version:  # a newer release may need more than what there was when the file was written
            needed = {canonicalize_name(each.name) for each in _needed(name, set())}
            assert {each for each in needed if not each.startswith(PINNED_BY_TORCH)} <= set(pins), name


def test_the_file_says_how_it_is_written() -> None:
    assert FILE.read_text().startswith(HEADER)


if __name__ == "__main__":
    FILE.write_text(HEADER + "".join(f"{name}=={version}\n" for name, version in sorted(_installed().items())))
