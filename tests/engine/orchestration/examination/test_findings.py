"""What is made of machines' answers: each fault of a machine is told with its name and what to do."""

from dataclasses import replace

import pytest

from engine.orchestration.cluster.inspection import NodeFacts
from engine.orchestration.cluster.node_survey import NodeAnswer
from engine.orchestration.cluster.node_watch import Node
from engine.orchestration.examination.findings import Finding, of_answers

FACTS = NodeFacts(
    host="a",
    address="10.0.0.1",
    node="1",
    process=7,
    code={"engine": "aa", "search_spaces": "bb", "pipelines": "cc"},
    commit="0123456789abcdef",
    versions={"python": "3.11.7", "torch": "2.14.1", "ray": "2.60.0"},
    cores=4,
    memory_gb=16.0,
    memory_free_gb=8.0,
    disk_free_gb={"/tmp": 50.0},
    gpus=("H200",),
    gpu_ids=("0",),
    cuda="13.0",
    clock_s=0.0,
)
NODE = Node("1", "b (10.0.0.2)", 4.0, 1.0)


def faults(answer: NodeAnswer, *, marked: bool = True) -> list[Finding]:
    return [finding for finding in of_answers(FACTS, [answer], marked=marked) if finding.is_fault]


def test_a_machine_that_is_as_it_should_be_has_no_fault() -> None:
    assert faults(NodeAnswer(NODE, FACTS, seen_s=0.5, skew_s=2.0)) == []
    found = of_answers(FACTS, [NodeAnswer(NODE, FACTS, seen_s=0.5)], marked=True)
    assert found[0].said.startswith(
        "4 cores; torch sees 1 GPU: H200; python 3.11.7, torch 2.14.1, ray 2.60.0; commit 0123"
    )
    assert found[-1] == Finding("store on b (10.0.0.2)", "what this machine writes there is seen within 0.5 s")


@pytest.mark.parametrize(
    ("answer", "what", "said"),
    [
        (NodeAnswer(NODE, None, "it does not answer within 90 s"), "machine b (10.0.0.2)", "it does not answer"),
        (NodeAnswer(NODE, replace(FACTS, gpus=()), seen_s=0.0), "GPUs of b (10.0.0.2)", "offers 1, torch sees none"),
        (
            NodeAnswer(NODE, replace(FACTS, versions={**FACTS.versions, "torch": "2.11.0"}), seen_s=0.0),
            "code on b (10.0.0.2)",
            "torch 2.11.0 (here 2.14.1)",
        ),
        (
            NodeAnswer(NODE, replace(FACTS, code={**FACTS.code, "engine": "zz"}), seen_s=0.0),
            "code on b (10.0.0.2)",
            "other code in engine",
        ),
        (NodeAnswer(NODE, FACTS, seen_s=0.0, skew_s=-40.0), "clock of b (10.0.0.2)", "-40 s from this machine's"),
        (NodeAnswer(NODE, FACTS, seen_s=None), "store on b (10.0.0.2)", "is not seen"),
        (NodeAnswer(NODE, FACTS, "there is no store in /x"), "store on b (10.0.0.2)", "there is no store in /x"),
        (NodeAnswer(NODE, replace(FACTS, memory_free_gb=0.5), seen_s=0.0), "memory of b (10.0.0.2)", "0.5 of 16.0 GB"),
        (NodeAnswer(NODE, replace(FACTS, disk_free_gb={"/x": 0.2}), seen_s=0.0), "disk of b (10.0.0.2)", "0.2 GB free"),
    ],
)
def test_each_fault_is_told_with_the_machine_and_what_to_do(answer: NodeAnswer, what: str, said: str) -> None:
    (found,) = faults(answer)
    assert found.what == what
    assert said in found.said
    assert found.remedy
