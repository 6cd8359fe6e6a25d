import importlib

from engine.ranking import DISTANCES
from tests.conftest import forgotten

OWN = """
from engine.ranking import register_distance


@register_distance("passing")
def passing(clean, noisy):
    return (clean - noisy).abs().flatten(2).sum(2)
"""


def test_a_module_of_a_test_registers_anew_each_time_that_it_is_imported(tmp_path, monkeypatch):
    (tmp_path / "module_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        with forgotten():
            importlib.import_module("module_of_a_test")
            assert "passing" in DISTANCES
        assert "passing" not in DISTANCES
