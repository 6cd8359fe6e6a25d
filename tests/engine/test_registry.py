import importlib
import sys

import pytest

from engine.errors import InputError
from engine.ranking import DISTANCES
from engine.registry import Registry, source_digest

MODULE = """
from engine.registry import Registry

def measure(x):
    return x + {number}

class Thing:
    pass
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Return a function that writes a user's module and imports it afresh."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(number: int):
        (tmp_path / "my_robustune_things.py").write_text(MODULE.format(number=number))
        sys.modules.pop("my_robustune_things", None)
        importlib.invalidate_caches()
        return importlib.import_module("my_robustune_things")

    yield write
    sys.modules.pop("my_robustune_things", None)


def test_registry_keeps_the_order_of_registration():
    registry: Registry = Registry("colour")
    for name in ("red", "blue", "green"):
        registry.register(name)(name.upper())
    assert registry.names() == ("red", "blue", "green")
    assert list(registry) == ["red", "blue", "green"]
    assert len(registry) == 3
    assert "blue" in registry
    assert "grey" not in registry
    assert registry["blue"] == "BLUE"


def test_registry_names_the_kind_and_the_nearest():
    registry: Registry = Registry("colour")
    registry.register("green")(print)
    with pytest.raises(InputError, match=r"unknown colour 'gren' \(did you mean 'green'\?\); known: green"):
        registry["gren"]
    with pytest.raises(InputError, match="unknown colour 'red'; known: none"):
        Registry("colour")["red"]


def test_registry_refuses_a_second_object_under_a_name():
    registry: Registry = Registry("colour")

    @registry.register("red")
    def first():
        return 1

    with pytest.raises(InputError, match=r"colour 'red' is already registered by .*first in .*test_registry.py"):
        registry.register("red")(len)
    assert registry["red"] is first


def test_registry_takes_a_reload_in_place_of_the_first(user_module):
    registry: Registry = Registry("colour")
    registry.register("red")(user_module(1).measure)
    registry.register("red")(user_module(2).measure)
    assert registry["red"](1) == 3


def test_source_digest_of_a_user_s_module_changes_with_an_edit(user_module):
    before = user_module(1)
    first = source_digest(before.measure)
    assert source_digest(before.Thing) == first
    assert len(first) == 16
    assert source_digest(user_module(2).measure) != first
    assert source_digest(user_module(1).measure) == first


def test_source_digest_of_the_engine_s_own_is_none():
    assert all(DISTANCES.source_digest(name) is None for name in DISTANCES)
    assert source_digest(Registry) is None
    assert source_digest(test_source_digest_of_the_engine_s_own_is_none) is not None


@pytest.mark.parametrize("name", ["", "a,b", "a/b", "a:b", "a b", "[a]", "-a", "a+b", "x" * 81, "a\nb", 3, None])
def test_a_name_that_lists_files_or_metrics_cannot_hold_is_refused(name: object) -> None:
    with pytest.raises(InputError, match="a corruption's name has letters, digits"):
        Registry("corruption").register(name)(len)


@pytest.mark.parametrize("name", ["emd_1d", "resnet-{depth}-pp", "brume_légère", "x.y", "4bit"])
def test_a_plain_name_is_taken(name: str) -> None:
    registry: Registry = Registry("corruption")
    registry.register(name)(len)
    assert registry[name] is len
