import importlib.util

import optuna
import pytest

from engine.errors import InputError
from engine.orchestration.search.samplers import (
    SAMPLERS,
    SamplerRequest,
    check_sampler,
    check_search,
    make_sampler,
    population_size,
    search_notes,
)
from engine.spaces import Choice, Space
from tests.engine.orchestration.spaces import INHIBITED, SPACE


def request(n_proposals: int = 30) -> SamplerRequest:
    return SamplerRequest(seed=0, n_proposals=n_proposals, n_objectives=1, space=SPACE)


@pytest.mark.parametrize("name", [name for name, kind in SAMPLERS.items() if kind.source == "asked"])
def test_every_sampler_that_is_asked_can_be_made(name: str) -> None:
    assert isinstance(make_sampler(name, request()), optuna.samplers.BaseSampler)


@pytest.mark.parametrize("name", ["random", "qmc", "grid"])
def test_a_sampler_that_is_drawn_has_nothing_to_ask(name: str) -> None:
    with pytest.raises(ValueError, match="is drawn"):
        make_sampler(name, request())


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown sampler 'tpee' \(did you mean 'tpe'"):
        make_sampler("tpee", request())


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="sampler 'cma-es' needs the package 'cmaes', which is missing: pip install"):
        check_sampler("cma-es")


def test_cma_es_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InputError, match="'cma-es' cannot search over several objectives; these can: tpe, random, gp"):
        check_search("cma-es", SPACE, n_objectives=2)
    choices = Space(name="choices", base=INHIBITED, axes=(Choice("push_pull.h", (1.0, 2.0)),))
    with pytest.raises(InputError, match="'cma-es' needs numeric axes, and those of space 'choices' are all choices"):
        check_search("cma-es", choices)


def test_a_grid_names_the_continuous_axis() -> None:
    with pytest.raises(InputError, match=r"axis 'finetune.fraction' is continuous \(0.25 … 0.5\)"):
        check_search("grid", SPACE)


def test_notes_say_how_axes_are_treated() -> None:
    assert search_notes("tpe", SPACE) == []
    assert search_notes("random", SPACE) == []
    first, second = search_notes("cma-es", SPACE)
    assert first.startswith("cma-es searches the 1 numeric axes; the 3 with choices are drawn at random")
    assert second == "cma-es gives every axis a value in each proposal; one that does not apply has no effect"


@pytest.mark.parametrize(("n_proposals", "size"), [(0, 6), (30, 6), (100, 20), (1000, 50)])
def test_generations_are_a_fifth_of_the_proposals(n_proposals: int, size: int) -> None:
    assert population_size(n_proposals) == size


@pytest.mark.parametrize(("n_proposals", "n_random"), [(4, 4), (10, 5), (20, 10), (500, 10)])
def test_tpe_draws_at_random_first_but_not_all_of_a_few_proposals(n_proposals: int, n_random: int) -> None:
    sampler = make_sampler("tpe", request(n_proposals))
    assert isinstance(sampler, optuna.samplers.TPESampler)
    assert sampler._n_startup_trials == n_random
