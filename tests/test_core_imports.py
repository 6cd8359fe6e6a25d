"""The computing core needs torch, numpy and safetensors; a trial's light process not even torch."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

WITHOUT = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ImportError("refused: " + name)

sys.meta_path.insert(0, Refuse())
for name in {names!r}:
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(name + " was imported")
"""

USE_EVERYTHING = """
import engine
missing = [name for name in engine.__all__ if getattr(engine, name, None) is None]
assert not missing, missing
assert sorted(dir(engine)) == sorted(engine.__all__)

import torch
from engine import PushPull2d, borda_count, build_model, corrupt, corruption_scores, find_exemplar
images = torch.randint(0, 256, (4, 3, 32, 32)).byte()
for name in engine.CORRUPTIONS:
    if name != "jpeg_compression":
        assert corrupt(images, name, 3, seed=0).shape == images.shape
model = build_model("resnet-8", num_classes=10, push_pull={"where": "first"})
assert model(images.float() / 255).shape == (4, 10)
assert len(find_exemplar(images.flatten(1))) == 1
"""

RUN_A_CHAIN = """
import sys, torch
from engine import Store, TrialConfig, plan_trial, prepare_data, run_chain
from engine.stages import data_getter
config = TrialConfig().with_settings({
    "data.n_train": 60, "data.n_validation": 20, "data.n_test": 20, "model.width": 4, "pretrain.epochs": 1,
    "push_pull.where": "first", "finetune.which": "most", "finetune.training.epochs": 1, "distortion.n_images": 10,
})
store = Store(sys.argv[1])
info, data = prepare_data(config.data, store)
device = torch.device("cpu")
outcomes = list(run_chain(plan_trial(config, info), store, data_getter(info, store, device), device=device))
print([outcome.spec.stage for outcome in outcomes])

from pathlib import Path
from engine import load_exported
from engine.exporting import export_network
from engine.stages.network import restore_network
made = [outcome.artifact for outcome in outcomes if outcome.spec.stage in ("pretrain", "finetune")]
network, folder = restore_network(made, device), Path(sys.argv[1]) / "exported"
export_network(network, folder, settings=made[0].json("network"), about={}, formats=["safetensors", "pt2"])
images = data.test.images.float() / 255
with torch.no_grad():
    assert torch.equal(load_exported(folder)(images), network(images))
"""

PREPARE = """
import sys
from pathlib import Path
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
import engine.orchestration.sweep
prepare(SweepOptions(home=Path(sys.argv[1]) / "home"))
print(sorted(sys.modules))
"""


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without(*names: str) -> str:
    return WITHOUT.format(names=names)


def test_the_core_imports_and_computes_without_any_optional_library():
    names = (
        "ray",
        "mlflow",
        "optuna",
        "tyro",
        "rich",
        "matplotlib",
        "sklearn",
        "sklearn_extra",
        "kmedoids",
        "ot",
        "scipy",
    )
    run(without(*names) + USE_EVERYTHING)


def test_a_chain_runs_on_digits_without_the_orchestration_s_libraries(tmp_path):
    names = ("ray", "mlflow", "optuna", "tyro", "rich", "matplotlib", "sklearn_extra", "kmedoids", "ot")
    printed = run(without(*names) + RUN_A_CHAIN, tmp_path)
    assert printed.strip() == "['pretrain', 'rank', 'finetune', 'evaluate']"


def test_a_light_trial_imports_neither_torch_nor_mlflow_nor_optuna():
    module = "engine.orchestration.cluster.light_trial"
    script = f"import {module}, sys; print(sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = run(script)
    assert "'ray'" in loaded
    assert not [name for name in ("torch", "mlflow", "optuna", "safetensors", "sklearn") if f"'{name}'" in loaded]


def test_neither_what_a_study_says_nor_what_writes_it_to_a_tracker_imports_torch():
    loaded = run(
        "import engine.report.results, engine.orchestration.tracking.writing_process, sys; print(sorted(sys.modules))"
    )
    assert not [name for name in ("torch", "mlflow", "optuna", "ray", "matplotlib", "scipy") if f"'{name}'" in loaded]


def test_importing_the_engine_imports_nothing_heavy():
    loaded = run("import engine, engine.stages, engine.orchestration, sys; print(sorted(sys.modules))")
    assert not [name for name in ("torch", "numpy", "ray", "optuna", "mlflow") if f"'{name}'" in loaded]


def test_the_main_job_is_checked_without_a_library_that_takes_seconds_to_import(tmp_path):
    names = ("torch._dynamo", "sklearn", "scipy.stats", "pandas", "matplotlib", "ray", "mlflow")
    loaded = run(PREPARE, tmp_path)
    assert "'torch'" in loaded
    assert not [name for name in names if f"'{name}'" in loaded]


def test_what_a_study_says_needs_none_of_what_ran_it():
    names = ("ray", "mlflow", "optuna", "tyro", "matplotlib")
    modules = sorted(path.stem for path in (ROOT / "engine" / "report").glob("[a-z]*.py"))
    assert modules
    run(without(*names) + "import " + ", ".join(f"engine.report.{module}" for module in modules))
