"""What Ray makes of the AWS file on a cloud that is simulated in this process."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
KINDS = ("head", "worker")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calls() -> list[str]:
    """The calls to the cloud so far, as policies name them."""
    return []


@pytest.fixture(scope="module")
def resolved(calls: list[str], tmp_path_factory) -> Iterator[dict[str, Any]]:
    """The file as Ray resolves it, in a cloud that has what the file wants to be there."""
    import boto3
    import botocore.client
    from moto import mock_aws
    from ray.autoscaler._private.commands import _bootstrap_config

    cluster = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    region = cluster["provider"]["region"]
    make_call = botocore.client.BaseClient._make_api_call

    def noted(self, operation: str, arguments: Any) -> Any:
        calls.append(f"{self.meta.service_model.service_name}:{operation}")
        return make_call(self, operation, arguments)

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        patch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        ec2, iam = boto3.client("ec2", region_name=region), boto3.client("iam", region_name=region)
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        group = ec2.create_security_group(GroupName="robustune", Description="own", VpcId=vpc)["GroupId"]
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        for kind in KINDS:
            name = f"robustune-{kind}"
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        for node in cluster["available_node_types"].values():
            node["node_config"] |= {"ImageId": image, "SecurityGroupIds": [group]}
        from ray.autoscaler._private.util import prepare_config

        yield _bootstrap_config(prepare_config(cluster), no_config_cache=True)


def test_the_machines_have_what_the_file_says_they_have(resolved: dict[str, Any]) -> None:
    import boto3

    ec2 = boto3.client("ec2", region_name=resolved["provider"]["region"])
    for name, node in resolved["available_node_types"].items():
        (offered,) = ec2.describe_instance_types(InstanceTypes=[node["node_config"]["InstanceType"]])["InstanceTypes"]
        gpus = sum(gpu["Count"] for gpu in offered.get("GpuInfo", {}).get("Gpus", []))
        assert node["resources"].get("GPU", 0) == gpus, name
        assert node["resources"]["CPU"] in (0, offered["VCpuInfo"]["DefaultVCpus"]), name


def test_ray_makes_no_role_and_no_security_group(resolved: dict[str, Any], calls: list[str]) -> None:
    import boto3

    iam = boto3.client("iam", region_name=resolved["provider"]["region"])
    roles = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    assert {name for name in roles if "AWSServiceRole" not in name} == {"robustune-head", "robustune-worker"}
    assert "IamInstanceProfile" not in resolved["head_node"]
    assert calls.count("ec2:CreateSecurityGroup") == 1, "the one of this test"
    assert "ec2:AuthorizeSecurityGroupIngress" not in calls


@pytest.fixture(scope="module")
def worker(resolved: dict[str, Any], calls: list[str]) -> dict[str, Any]:
    """A worker that was started, marked and ended as the head does it: what the cloud said of it while it was up."""
    import boto3
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    provider = AWSNodeProvider(copy.deepcopy(resolved["provider"]), resolved["cluster_name"])
    calls.clear()
    tags = {"ray-node-type": "worker", "ray-user-node-type": "gpu_worker", "ray-node-status": "uninitialized"}
    (number,) = provider.create_node(resolved["available_node_types"]["gpu_worker"]["node_config"], tags, 1)
    assert provider.non_terminated_nodes({}) == [number]
    provider.set_node_tags(number, {"ray-node-status": "up-to-date"})
    (found,) = boto3.client("ec2", region_name=resolved["provider"]["region"]).describe_instances()["Reservations"]
    provider.terminate_nodes([number])
    (machine,) = found["Instances"]
    return machine


def test_the_heads_policy_is_what_starting_marking_and_ending_a_worker_takes(worker, calls: list[str]) -> None:
    policy = json.loads((ROOT / "aws" / "head_policy.json").read_text())
    actions = {action for each in policy["Statement"] for action in _as_list(each["Action"])}
    assert {action for action in actions if action.startswith("ec2:")} == set(calls)


def test_a_worker_is_a_spot_machine_with_the_workers_role(worker: dict[str, Any]) -> None:
    assert worker["InstanceType"] == "g5.xlarge"
    assert worker["InstanceLifecycle"] == "spot"
    assert worker["IamInstanceProfile"]["Arn"].endswith("/robustune-worker")
    tags = {tag["Key"]: tag["Value"] for tag in worker["Tags"]}
    assert tags["ray-cluster-name"] == "robustune", "by this tag the head's policy knows its own machines"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
