"""What the documents tell a person to write and to run works as it stands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from engine.settings import TrialConfig
from engine.spaces import load_space, space_names
from engine.stages.plan import OBJECTIVES

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_space_of_the_documentation_is_a_space(tmp_path: Path) -> None:
    path = tmp_path / "strength.py"
    path.write_text(blocks("spaces.md", "python")[0])
    space = load_space(str(path))
    assert space.name == path.stem
    assert space.name not in space_names()
    assert [axis.setting for axis in space.axes] == ["push_pull.where", "push_pull.alpha"]
    assert space.config({"push_pull.where": "first"}, seed=1) == TrialConfig().with_settings(
        {"push_pull.where": "first", "seed": 1}
    )


def test_the_users_module_of_the_documentation_runs(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text(blocks("extending.md", "python")[0])
    (command,) = [line for line in blocks("extending.md", "sh")[0].splitlines() if line]
    words = [sys.executable, *shlex.split(command)[1:], 'evaluate.corruptions=["invert"]', "pretrain.epochs=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for word in ("stripes: ", "mlp on cpu", "pretrain → rank → finetune → evaluate", "invert"):
        assert word in done.stdout


def test_the_page_of_the_answer_says_what_decides() -> None:
    rows = [line for line in (ROOT / "docs" / "answer.md").read_text().splitlines() if line.startswith("| nothing")]
    said = {re.findall("`([^`]*)`", row)[0]: tuple(re.findall("`([^`]*)`", row.split("|")[2])) for row in rows}
    assert {table: names[: len(OBJECTIVES[table])] for table, names in said.items()} == OBJECTIVES
