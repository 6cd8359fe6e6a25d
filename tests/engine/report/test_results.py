"""A study's trials together: one of its groups is the one that is among all of them."""

import dataclasses

import pytest

from engine.errors import InputError
from engine.spaces import Arm, Space
from tests.engine.report.studies import complete, study

SPACE = Space(name="s", arms=(Arm("plain", {}), Arm("push-pull", {"push_pull.where": "first"})), n_seeds=2)


def test_one_group_is_what_it_is_among_all() -> None:
    results = study(SPACE, {"plain": [0.4, None], "push-pull": [0.3, 0.2]})
    with_another_corruption = complete(4, "plain", 7, 0.1, blur=0.5)
    results = dataclasses.replace(results, trials=(*results.trials, with_another_corruption))
    for group in results.groups():
        assert results.group(group.name) == group
    assert results.group("plain").count == "2 of 3"


@pytest.mark.parametrize("trials", [{}, {"plain": [0.4]}], ids=["no trial", "one"])
def test_a_group_that_is_none_is_refused(trials) -> None:
    with pytest.raises(InputError, match="unknown group 'push-pul'"):
        study(SPACE, trials).group("push-pul")
