import dataclasses

import pytest
import torch

from engine.data import Split
from engine.errors import InputError
from engine.orchestration.search.pruners import parse_pruner
from engine.spaces import load_space
from studies import common, lenet_noise, recipes, selective
from tests.engine.orchestration.studies import make_sweep_study
from tests.engine.report.test_study_report import FAILING


def test_every_arm_of_the_tables_is_in_the_space() -> None:
    assert {arm.name for arm in load_space("lenet-noise").arms} == set(lenet_noise.PAPER["clean"])
    for name in recipes.SPACES:
        assert [arm.name for arm in load_space(name).arms] == ["full", "fast"]


def test_the_paper_s_tables_are_as_long_as_their_heads() -> None:
    assert lenet_noise.PAPER["clean"].keys() == lenet_noise.PAPER["gaussian_variance 0.2"].keys()


def test_every_condition_of_the_lenet_study_has_its_images() -> None:
    images = torch.randint(0, 256, (4, 1, 28, 28), generator=torch.Generator().manual_seed(0)).byte()
    splits = lenet_noise.conditions(Split(images, torch.zeros(4).long(), torch.arange(4)))
    assert len(splits) == 1 + sum(map(len, lenet_noise.LEVELS.values()))
    assert torch.equal(splits["clean"].images, images)
    assert torch.equal(splits["contrast 1"].images, images)
    assert not torch.equal(splits["gaussian_variance 0.01"].images, images)


def test_numbers_as_text(capsys) -> None:
    assert common.mean_and_std({1: 0.1, 2: 0.3}) == "20.0 ±14.1"
    assert common.mean_and_std({1: 0.1}) == "10.0"
    assert common.difference_text({1: 0.2, 2: 0.3}, {1: 0.1, 2: 0.2, 3: 0.9}).startswith("+10.0 [")
    assert common.difference_text({1: 0.2}, {2: 0.1}) == "–"
    assert common.difference_text({1: 0.2, 2: 0.31}, {1: 0.1, 2: 0.2}).endswith("] *")
    assert common.difference_text({1: 0.2, 2: 0.5}, {1: 0.1, 2: 0.2}).endswith("]")
    common.print_table("Title", ["", "a"], [["row", "1"], ["longer", "22"]])
    assert capsys.readouterr().out == "\nTitle\n         a\nrow      1\nlonger  22\n"


@pytest.mark.parametrize("study", [lenet_noise, recipes, selective])
def test_a_study_that_does_not_exist_is_one_sentence(study, tmp_path, capsys) -> None:
    assert study.main(["--study", "none", "--home", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_study_of_another_space_is_refused(tmp_path) -> None:
    from engine.orchestration.search.planned_trials import PlannedTrials
    from tests.engine.orchestration.spaces import SPACE

    make_sweep_study(
        PlannedTrials(SPACE, 4, 0),
        storage=f"sqlite:///{tmp_path / 'optuna.db'}",
        name="mine",
        sampler="tpe",
        pruner=parse_pruner("none"),
    )
    given = common.parser("").parse_args(["--study", "mine", "--home", str(tmp_path)])
    with pytest.raises(InputError, match="explores the space 'tiny', not 'recipes-digits' or 'recipes-cifar'"):
        common.load(given, *recipes.SPACES)
    with pytest.raises(InputError, match="has no finished trial of an arm"):
        common.load(given, "tiny")


def test_arms_with_fewer_seeds_are_named() -> None:
    assert common.fewer_seeds(FAILING) == ["seeds: plain 0 of 2, push-pull 1 of 2; all others are complete"]
    complete = dataclasses.replace(
        FAILING, space=dataclasses.replace(FAILING.space, n_seeds=1), trials=FAILING.trials[1:2]
    )
    assert common.fewer_seeds(complete) == ["seeds: plain 0 of 1; all others are complete"]
