"""A program: a stage on a machine of its own (its processes cannot be looked up from here), which is then lost.

Prints {"lost_s": from the loss to the artifact, "start": how often the stage was begun, "said": what was told, …}.
"""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from engine.orchestration.cluster.admission import Admission
from engine.orchestration.cluster.connection import connect, disconnect
from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.cluster.stage_pool import StagePool
from engine.settings import DataSettings
from engine.stages import find_whole, info_to_json, prepare_data
from engine.store import Store
from tests.engine.orchestration.cluster.conftest import COUNTING
from tests.engine.orchestration.cluster.test_stage_pool import files, make_spec, start_trials, wait_for


def machine_elsewhere(address: str) -> subprocess.Popen:
    """Start a node with a name and process numbers of its own; to kill the process is to pull its plug."""
    ray_command = str(Path(sys.executable).parent / "ray")
    words = f"hostname far-away && exec {ray_command} start --address={address} --num-cpus=1 --block"
    unshare = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.Popen([*unshare, "sh", "-c", words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main(folder: Path) -> None:
    with contextlib.ExitStack() as ending:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        ending.callback(cluster.shutdown)
        machine = machine_elsewhere(cluster.address)
        ending.callback(machine.kill)
        connect(cluster.address)
        ending.callback(disconnect)
        wait_for(lambda: ray.cluster_resources().get("CPU") == 1)
        store, said = Store(folder / "store"), []
        info, _ = prepare_data(DataSettings(n_train=20, n_validation=20, n_test=20), store)
        pool = StagePool(
            name="broker-lost-node",
            store=store.address,
            data=info_to_json(info),
            imports=(COUNTING,),
            slots=SlotPlan(1, 1, 0.0),
            elastic=True,
            admission=Admission.of_driver(store, (COUNTING,)),
            say=said.append,
        )
        ending.callback(pool.close)
        spec = make_spec(info.key, folder / "count", epochs=12, epoch_s=0.5)
        trials = start_trials(pool, store, [[spec]])
        wait_for(lambda: bool(files(folder / "count", "epoch-3-*")))
        holder = store.stage_holder(spec.key).holder
        assert holder is not None
        assert (holder.host, holder.is_here) == ("far-away", False)
        cluster.add_node(num_cpus=1)
        began = time.monotonic()
        machine.kill()
        wait_for(lambda: find_whole(store, spec.key) is not None, 120)
        lost_s = time.monotonic() - began
        ray.get(trials, timeout=60)
        counts = {name: len(files(folder / "count", f"{name}-*")) for name in ("start", "epoch-1")}
        print(json.dumps({"lost_s": lost_s, "said": said, **counts, **pool.statistics()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
