from engine.errors import InputError
from engine.orchestration.search.repeats import Identities, Repeats
from engine.settings import TrialConfig
from tests.engine.orchestration.spaces import SPACE


def test_what_the_base_says_anyway_changes_nothing() -> None:
    identities = Identities(SPACE)
    base = {"push_pull.where": "none", "finetune.which": "none"}
    assert identities(base, 1) == identities({**base, "push_pull.h": SPACE.base.push_pull.h}, 1)
    assert identities(base, 1) != identities(base, 2)
    assert identities(base, 1) != identities({**base, "push_pull.h": 3.0}, 1)


def test_a_resolved_identity_is_asked_for_once_and_leaves_out_what_cannot_matter() -> None:
    asked: list[TrialConfig] = []

    def resolve(config: TrialConfig) -> str:
        asked.append(config)
        return config.push_pull.where

    identities = Identities(SPACE, resolve)
    first = identities({"push_pull.where": "none", "push_pull.h": 2.0}, 1)
    assert identities({"push_pull.where": "none", "push_pull.h": 3.0}, 1) == first
    identities({"push_pull.where": "none", "push_pull.h": 3.0}, 1)
    assert len(asked) == 2


def test_impossible_settings_are_known_by_themselves() -> None:
    def refuse(config: TrialConfig) -> str:
        raise InputError("impossible")

    identities = Identities(SPACE, refuse)
    assert identities({"push_pull.h": 2.0}, 1) != identities({"push_pull.h": 3.0}, 1)


def test_the_first_trial_of_a_configuration_is_found_until_it_is_interrupted() -> None:
    repeats = Repeats(Identities(SPACE))
    identity = repeats.identity({"push_pull.h": 3.0}, 1)
    repeats.add_known(identity, 4)
    repeats.add_known(identity, 7)
    assert repeats.find_known(identity) == 4
    assert repeats.find({"push_pull.h": 3.0}, 1) == 4
    assert repeats.find({"push_pull.h": 3.0}, 2) is None
    repeats.forget(4)
    assert repeats.find({"push_pull.h": 3.0}, 1) is None
