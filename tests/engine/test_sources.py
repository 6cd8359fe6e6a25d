import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from engine.ranking import DISTANCES
from engine.sources import SourceFile, files_behind

FILES = {
    "lab/__init__.py": "from lab import settings\n",
    "lab/settings.py": "SIZE = 3\n",
    "lab/models.py": """
import torch
from engine.registry import Registry
from . import blocks
from .deep.attention import attend
import helpers, json

MODELS = Registry("own model")

@MODELS.register("net")
def build():
    import lab.late
    return lab.late.build()
""",
    "lab/blocks.py": "try:\n    from .. import nothing\nexcept ImportError:\n    pass\n",
    "lab/deep/attention.py": "from ..norms import normalise as own\n\ndef attend():\n    return 1\n",
    "lab/norms.py": "def normalise():\n    return 2\n",
    "lab/late.py": "import pathlib\npathlib.Path(__file__).with_name('was-run').touch()\nimport plain.inner\n",
    "lab/unused.py": "VALUE = 1\n",
    "helpers.py": "import library\nfrom importlib import import_module\nimport_module('named')\n",
    "named.py": "VALUE = 1\n",
    "plain/inner.py": "VALUE = 1\n",
    "site-packages/library.py": "VALUE = 1\n",
}
USED = ("lab/__init__", "lab/settings", "lab/models", "lab/blocks", "lab/deep/attention", "lab/norms", "lab/late")
USED += ("helpers", "named", "plain/inner")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a folder with a user's package in it, which is on the path, and forget its modules afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for folder in (tmp_path, tmp_path / "site-packages"):
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in {"lab", "helpers", "named", "plain", "library", "loader"}:
            del sys.modules[name]
    importlib.invalidate_caches()


def digest_of(folder: Path, module: str = "lab.models") -> str:
    """Return the hash of what a module registers, as a new process would have it."""
    forget()
    found = importlib.import_module(module).MODELS.source_digest("net")
    assert found is not None
    return found


@pytest.mark.parametrize("name", USED)
def test_an_edit_of_what_is_imported_changes_the_digest(project, name):
    before = digest_of(project)
    path = project / f"{name}.py"
    path.write_text(path.read_text() + "\nANOTHER = 1\n")
    assert digest_of(project) != before


@pytest.mark.parametrize("name", ["lab/unused", "site-packages/library"])
def test_an_edit_of_what_is_not_the_user_s_or_not_imported_changes_nothing(project, name):
    before = digest_of(project)
    (project / f"{name}.py").write_text("VALUE = 2\n")
    assert digest_of(project) == before


def test_comments_and_docstrings_change_nothing(project):
    before = digest_of(project)
    path = project / "lab/norms.py"
    path.write_text('"""Norms."""\n\n# which\n' + path.read_text().replace("():", '():\n    """Return two."""'))
    assert digest_of(project) == before


def test_nothing_is_run_to_find_the_sources(project):
    digest_of(project)
    assert not (project / "lab/was-run").exists()
    assert "lab.late" not in sys.modules
    assert "named" in sys.modules


def test_the_files_behind_a_module(project):
    found = files_behind([SourceFile("lab.models", project / "lab/models.py")])
    assert sorted(str(file.path.relative_to(project).with_suffix("")) for file in found) == sorted(USED)


def test_a_module_is_the_same_in_another_folder(project, tmp_path_factory, monkeypatch):
    before = digest_of(project)
    other = tmp_path_factory.mktemp("other") / "moved"
    project.rename(other)
    for folder in (other, other / "site-packages"):
        monkeypatch.syspath_prepend(folder)
    assert digest_of(other) == before


def test_a_package_that_imports_all_that_is_in_it_has_all_of_it_in_the_digest(project):
    (project / "lab/__init__.py").write_text(
        "import importlib, pkgutil\nfor found in pkgutil.iter_modules(__path__):\n"
        "    importlib.import_module(f'lab.{found.name}')\n"
    )
    before = digest_of(project)
    (project / "lab/unused.py").write_text("VALUE = 2\n")
    assert digest_of(project) != before


def test_what_is_made_of_another_s_function_has_the_module_that_registers_it(project):
    (project / "loader.py").write_text(
        "from functools import partial\nfrom engine.registry import Registry\nfrom engine.ranking.distances import l1\n"
        "import lab.norms\nMODELS = Registry('own model')\nMODELS.register('net')(partial(l1, scale=2))\n"
    )
    before = digest_of(project, "loader")
    text = (project / "loader.py").read_text()
    (project / "loader.py").write_text(text.replace("scale=2", "scale=3"))
    after = digest_of(project, "loader")
    assert after != before
    (project / "lab/norms.py").write_text("VALUE = 2\n")
    assert digest_of(project, "loader") != after


def test_a_file_that_is_broken_or_absent_ends_nothing(project):
    (project / "lab/late.py").write_text("this is no Python (\n")
    before = digest_of(project)
    (project / "lab/late.py").write_text("this is no Python )\n")
    assert digest_of(project) != before
    (project / "lab/late.py").unlink()
    assert digest_of(project)


def test_the_digest_is_the_same_in_another_process_and_as_a_script(project):
    (project / "loader.py").write_text(
        "from engine.registry import Registry\nimport lab.norms\nMODELS = Registry('own model')\n"
        "MODELS.register('net')(lab.norms.normalise)\n"
        "if __name__ == '__main__':\n    print(MODELS.source_digest('net'))\n"
    )
    path = [str(project), str(Path(__file__).parents[2])]
    script = subprocess.run(
        [sys.executable, project / "loader.py"], capture_output=True, text=True, env={"PYTHONPATH": ":".join(path)}
    )
    assert script.stdout.strip() == digest_of(project, "loader"), script.stderr


def test_the_engine_s_own_entries_have_none():
    from engine.corruptions.apply import CORRUPTION_REGISTRY
    from engine.corruptions.distortions import DISTORTION_REGISTRY
    from engine.data.dataset import READERS
    from engine.models import MODELS
    from engine.ranking import ELECTIONS
    from engine.stages import STAGES

    own = {"pretrain", "init", "rank", "finetune", "evaluate"}
    for registry in (DISTANCES, ELECTIONS, CORRUPTION_REGISTRY, DISTORTION_REGISTRY, READERS, MODELS):
        assert [name for name in registry if registry.source_digest(name) is not None] == [], registry.kind
    assert {name for name in STAGES if STAGES.source_digest(name) is None} == own
