import pytest

from engine.errors import InputError
from engine.orchestration.search.samplers import PRUNERS, SAMPLERS, make_pruner, make_sampler


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_can_be_made(name: str) -> None:
    assert make_sampler(name, seed=0) is not None


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_can_be_made(name: str) -> None:
    assert make_pruner(name) is not None


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown sampler 'tpee' .did you mean 'tpe'"):
        make_sampler("tpee", seed=0)
    with pytest.raises(InputError, match="unknown pruner 'medien' .did you mean 'median'"):
        make_pruner("medien")
