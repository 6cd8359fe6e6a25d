"""Nodes that come, are lost, or are not fit, and what a person is told of it."""

import pytest

from engine.orchestration.cluster.node_watch import Node, NodeWatch

HEAD = Node("h", "head (10.0.0.1)", 0.0, 0.0)
ONE = Node("1", "one (10.0.0.2)", 4.0, 1.0)
TWO = Node("2", "two (10.0.0.3)", 4.0, 1.0)


class Scene:
    """A watch over nodes that a test changes, and what it has said."""

    def __init__(self, *nodes: Node, gpus: float = 1.0) -> None:
        self.nodes = list(nodes)
        self.said: list[str] = []
        self.watch = NodeWatch(lambda: self.nodes, self.said.append, cpus=1, gpus=gpus)
        self.watch.look()

    def change(self, *nodes: Node) -> None:
        self.nodes = list(nodes)
        self.watch.look()


def test_what_is_there_at_first_is_no_news() -> None:
    scene = Scene(HEAD, ONE)
    assert scene.said == []
    assert (scene.watch.n_fit, scene.watch.n_lost, scene.watch.hopeless) == (1, 0, "")


def test_a_node_that_comes_or_is_lost_is_said_once() -> None:
    scene = Scene(HEAD, ONE)
    scene.change(HEAD, ONE, TWO)
    scene.watch.look()
    scene.change(HEAD, ONE)
    scene.watch.look()
    assert scene.said == [
        "two (10.0.0.3) has come: 4 cores, 1 GPU",
        "lost two (10.0.0.3): what it computed goes on elsewhere from its last epoch",
    ]
    assert scene.watch.n_lost == 1


def test_a_node_without_room_for_a_slot_is_no_matter() -> None:
    scene = Scene(ONE)
    scene.change(HEAD, ONE)
    scene.change(ONE)
    assert scene.said == []
    assert scene.watch.n_lost == 0


def test_a_reason_is_said_once_and_is_the_end_where_no_other_node_is_fit() -> None:
    scene = Scene(HEAD, ONE, TWO)
    scene.watch.refuse("1", "machine one has other code")
    scene.watch.refuse("1", "machine one has other code")
    assert scene.said == ["not used: machine one has other code"]
    assert (scene.watch.n_fit, scene.watch.hopeless) == (1, "")
    scene.change(HEAD, ONE)
    assert scene.watch.hopeless == "machine one has other code"
    scene.change(HEAD)
    assert scene.watch.hopeless == "", "another one may come"


@pytest.mark.parametrize(("cpus", "gpus", "fits"), [(4, 1.0, True), (4, 0.5, True), (5, 1.0, False), (1, 2.0, False)])
def test_a_slot_must_fit_one_node(cpus: float, gpus: float, fits: bool) -> None:
    assert ONE.has_room(cpus, gpus) is fits
