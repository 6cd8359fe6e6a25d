"""The manifests for KubeRay agree with the operator's schemas, with each other, and with the project."""

import gzip
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from engine.orchestration.cluster.shared_names import TRIAL_SEAT
from pipelines.sweep import command_line
from tests.test_constraints import pinned

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "kubernetes"
KUBERAY = Path(os.environ.get("ROBUSTUNE_REFERENCE", ROOT.parent / "shared" / "reference")) / "kuberay"


def documents(name: str) -> dict[str, dict[str, Any]]:
    """Return a file's manifests by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((FOLDER / name).read_text())}


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return documents("raycluster.yaml")["RayCluster"]


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return documents("rayjob.yaml")["RayJob"]


def closed(schema: Any) -> Any:
    """Return a schema that refuses what it does not name, as `kubectl apply` does; a schema itself lets that pass."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def schema_of(kind: str, version: str) -> dict[str, Any]:
    """Return the operator's schema of a kind; the test is skipped without the reference files."""
    path = KUBERAY / f"ray.io_{kind.lower()}s.yaml.gz"
    if not path.exists():
        pytest.skip(f"needs {path.name} (ROBUSTUNE_REFERENCE)")
    definition = yaml.safe_load(gzip.decompress(path.read_bytes()))
    (found,) = [each for each in definition["spec"]["versions"] if each["name"] == version and each["served"]]
    schema = closed(found["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_the_operators_schema_accepts_the_manifest(name: str) -> None:
    manifests = [each for each in documents(name).values() if each["apiVersion"].startswith("ray.io/")]
    (manifest,) = manifests
    schema = schema_of(manifest["kind"], manifest["apiVersion"].partition("/")[2])
    jsonschema.Draft202012Validator(schema).validate(manifest)


def test_the_schema_would_refuse_what_it_does_not_know(cluster) -> None:
    schema = schema_of("RayCluster", "v1")
    wrong = json.loads(json.dumps(cluster))
    wrong["spec"]["headGroupSpec"]["template"]["spec"]["restartPolici"] = "Never"
    with pytest.raises(jsonschema.ValidationError, match="restartPolici"):
        jsonschema.Draft202012Validator(schema).validate(wrong)


def test_the_jobs_cluster_is_the_cluster(cluster, job) -> None:
    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_the_jobs_command_is_a_sweep(job, capsys) -> None:
    words = job["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "pipelines.sweep"]
    with pytest.raises(SystemExit, match="0"):
        command_line([*words[3:], "--help"])
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def pods(cluster: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (group, specification of its pod)."""
    yield "head", cluster["spec"]["headGroupSpec"]["template"]["spec"]
    for group in cluster["spec"]["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]


def test_ray_is_the_constraints_and_the_images_are_the_projects(cluster) -> None:
    assert cluster["spec"]["rayVersion"] == pinned()["ray"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for group, pod in pods(cluster):
        kind = "cpu" if group == "head" else "gpu"
        assert {each["image"].partition("/")[2] for each in pod["containers"]} == {f"robustune:{version}-{kind}"}
        assert pod["containers"][0]["name"].startswith("ray-"), "the operator takes the first one for Ray's"


def test_trials_fit_on_the_head_alone_and_stages_on_workers_alone(cluster) -> None:
    head = cluster["spec"]["headGroupSpec"]["rayStartParams"]
    assert head["num-cpus"] == "0"
    assert set(json.loads(json.loads(head["resources"]))) == {TRIAL_SEAT}, "the operator puts it into a shell's line"
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert "resources" not in group["rayStartParams"]
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["limits"] == resources["requests"], "Ray counts the limits"
        assert int(resources["limits"]["nvidia.com/gpu"]) >= 1


def test_workers_start_from_none(cluster) -> None:
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]


def test_what_version_two_of_the_autoscaler_needs_is_there(cluster) -> None:
    assert cluster["spec"]["autoscalerOptions"]["version"] == "v2"
    assert all(pod["restartPolicy"] == "Never" for _, pod in pods(cluster))


def test_nothing_is_open_to_the_outside(cluster) -> None:
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert cluster["spec"]["networkPolicy"]["mode"] == "DenyAllIngress"
    assert cluster["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not any("0.0.0.0" in path.read_text() for path in FOLDER.iterdir())
    for _, pod in pods(cluster):
        for container in pod["containers"][1:]:
            words = [*container["command"], *container.get("args", ())]
            assert words[words.index("--host") + 1] == "127.0.0.1", container["name"]
            assert "ports" not in container


def test_what_is_mounted_is_a_volume_of_the_pod_and_what_is_claimed_is_claimed(cluster) -> None:
    claims = {documents("raycluster.yaml")["PersistentVolumeClaim"]["metadata"]["name"]}
    for _, pod in pods(cluster):
        volumes = {each["name"]: each for each in pod["volumes"]}
        mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", ())}
        assert mounted == set(volumes)
        wanted = {each["persistentVolumeClaim"]["claimName"] for each in volumes.values() if "emptyDir" not in each}
        assert wanted <= claims


def test_the_sweep_its_servers_and_the_volume_agree_on_files_and_ports(cluster) -> None:
    ray, *servers = dict(pods(cluster))["head"]["containers"]
    given = {each["name"]: each["value"] for each in ray["env"]}
    words = {each["name"]: [*each["command"], *each.get("args", ())] for each in servers}
    (mount,) = ray["volumeMounts"]
    assert given["ROBUSTUNE_HOME"] == mount["mountPath"]
    assert given["ROBUSTUNE_STORAGE"] in words["optuna-dashboard"]
    assert f"sqlite:///{given['ROBUSTUNE_HOME']}/mlflow.db" in words["mlflow"]
    port = words["mlflow"][words["mlflow"].index("--port") + 1]
    assert given["MLFLOW_TRACKING_URI"] == f"http://127.0.0.1:{port}"
    gpus = sum(
        group["maxReplicas"] * int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
        for group in cluster["spec"]["workerGroupSpecs"]
    )
    assert int(given["ROBUSTUNE_SLOTS"]) * float(given["ROBUSTUNE_GPUS_PER_SLOT"]) == gpus


def test_what_has_not_been_launched_says_so() -> None:
    for path in FOLDER.iterdir():
        comment = " ".join(re.sub(r"^# ?", "", line) for line in path.read_text().splitlines() if line[:1] == "#")
        assert "never been launched" in comment
