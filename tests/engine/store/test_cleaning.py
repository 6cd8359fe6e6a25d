import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
import torch

from engine.stages import StageSpec, find_whole
from engine.stages.families import needed_keys, remember
from engine.store import Store, leases, leftovers, needs
from engine.store.artifact import MANIFEST
from engine.store.cleaning import clean, entries
from engine.store.folder_store import FolderStore
from engine.store.holders import Holder
from engine.store.leases import live_leases, stage_lease, sweep_lease
from engine.store.leftovers import tree_bytes
from engine.store.stored import ABANDONED, USE_NOTED_S

A, B, C, D = (letter * 32 for letter in "abcd")
DAY_S = 86400.0


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def publish(
    store: Store,
    key: str,
    *,
    used_days_ago: float = 0.0,
    inputs: tuple[str, ...] = (),
    n_bytes: int = 1000,
    stage: str = "pretrain",
) -> None:
    with store.attempt(key) as attempt:
        attempt.write_json("filling", "x" * n_bytes)
        spec = {"stage": stage, "inputs": {str(place): key for place, key in enumerate(inputs)}}
        artifact = store.publish(attempt, {"history": [], "spec": spec, "seconds": 2.0})
    set_age(artifact.folder / MANIFEST, used_days_ago)


def set_age(path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY_S,) * 2)


def keys(store: Store) -> list[str]:
    return sorted(store.keys())


def removed(store: Store, max_bytes: int, keep: tuple[str, ...] = ()) -> list[str]:
    """Return what a clean-up would remove, the first to go first, and check that it then does."""
    before = keys(store)
    planned = clean(store, max_bytes, keep, dry_run=True)
    assert keys(store) == before
    done = clean(store, max_bytes, keep)
    assert done == planned
    assert keys(store) == sorted(set(before) - {entry.key for entry in done.artifacts})
    return [entry.key for entry in done.artifacts]


def test_an_entry_says_what_its_manifest_does(store):
    publish(store, A, used_days_ago=2, inputs=(B,))
    (entry,) = entries(store)
    assert (entry.key, entry.stage, entry.inputs, entry.seconds, entry.whole) == (A, "pretrain", (B,), 2.0, True)
    assert entry.used_at == pytest.approx(time.time() - 2 * DAY_S, abs=60)
    assert entry.finished_at == pytest.approx(time.time(), abs=60)
    assert entry.n_bytes == tree_bytes(store.look_at(A).folder) > 1000


def test_the_least_recently_used_go_first_and_only_as_many_as_need_be(store):
    for key, days in ((A, 3), (B, 1), (C, 2), (D, 0)):
        publish(store, key, used_days_ago=days)
    size = tree_bytes(store.root)
    assert removed(store, size) == []
    assert removed(store, size - 1) == [A]
    assert removed(store, size // 2 + 200) == [C]
    assert removed(store, 0) == [B, D]
    assert tree_bytes(store.root) == 0


def test_being_found_is_a_use_and_is_noted_at_most_once_an_hour(store):
    publish(store, A, used_days_ago=3)
    publish(store, B, used_days_ago=2)
    manifest = store.look_at(A).folder / MANIFEST
    assert time.time() - manifest.stat().st_mtime > DAY_S, "to look is no use"
    store.find(A)
    assert time.time() - manifest.stat().st_mtime < 60
    os.utime(manifest, (time.time() - USE_NOTED_S / 2,) * 2)
    noted = manifest.stat().st_mtime
    store.find(A)
    assert manifest.stat().st_mtime == noted
    assert removed(store, tree_bytes(store.root) - 1) == [B]


def test_an_input_stays_as_long_as_what_was_made_from_it(store):
    publish(store, A, used_days_ago=9)
    publish(store, B, used_days_ago=8, inputs=(A,))
    publish(store, C, used_days_ago=1, inputs=(A, B))
    publish(store, D, used_days_ago=5)
    assert removed(store, 0) == [D, C, B, A]


def test_what_is_to_be_kept_stays_with_its_inputs(store):
    publish(store, A, used_days_ago=9)
    publish(store, B, used_days_ago=8, inputs=(A,))
    publish(store, C, used_days_ago=1)
    assert removed(store, 0, keep=(B,)) == [C]
    assert clean(store, 0, (B,)).n_kept == 2


def test_what_live_stages_compute_and_read_stays(store):
    publish(store, A, used_days_ago=9)
    publish(store, B, used_days_ago=8, inputs=(A,))
    publish(store, C, used_days_ago=1)
    with stage_lease(store.root, D, {"pretrain": B}):
        assert removed(store, 0) == [C]
    assert removed(store, 0) == [B, A]


def test_what_a_live_sweep_names_or_has_used_stays(store):
    publish(store, A, used_days_ago=9)
    publish(store, B, used_days_ago=8)
    with sweep_lease(store.root, "mine", [A]):
        publish(store, C)
        done = clean(store, 0)
        assert [entry.key for entry in done.artifacts] == [B]
        assert done.sweeps == ("mine",)
        assert done.n_kept == 2
    assert removed(store, 0) == [A, C]


def test_what_nobody_is_at_goes_though_the_store_s_clock_is_ahead(store):
    publish(store, A, used_days_ago=-1 / 24)
    assert clean(store, 0).n_kept == 0
    assert keys(store) == []


def test_what_a_live_sweep_used_long_ago_and_does_not_name_goes(store):
    with sweep_lease(store.root, "mine", [A]):
        publish(store, A, used_days_ago=3)
        publish(store, B, used_days_ago=needs.RECENT_S / DAY_S + 0.001)
        publish(store, C, used_days_ago=0.5 * needs.RECENT_S / DAY_S)
        assert removed(store, 0) == [B]


def test_who_cleans_up_knows_the_needs_of_its_own_sweep(store):
    publish(store, A)
    publish(store, B, inputs=(A,))
    publish(store, C)
    with sweep_lease(store.root, "mine", [C]) as mine:
        done = clean(store, 0, lambda: {B}, own_lease=mine.name)
        assert [entry.key for entry in done.artifacts] == [C], "neither the lease nor what was just used counts"
        assert done.sweeps == ("mine",)
        publish(store, C)
        with sweep_lease(store.root, "other", []):
            assert clean(store, 0, own_lease=mine.name).artifacts == (), "the other may have found all of it just now"


def test_what_comes_to_be_needed_while_others_are_removed_stays(store, monkeypatch):
    for key, days in ((A, 4), (B, 3), (C, 2), (D, 1)):
        publish(store, key, used_days_ago=days)
    needed, remove = set(), FolderStore.remove

    def remove_and_need(self, key):
        remove(self, key)
        needed.add(C)  # a trial has started
        store.find(D)  # and another sweep's, which names it only later

    monkeypatch.setattr(FolderStore, "remove", remove_and_need)
    with sweep_lease(store.root, "other", []):
        done = clean(store, 0, lambda: needed)
        assert done.left_bytes == tree_bytes(store.root)
    assert [entry.key for entry in done.artifacts] == [A, B]
    assert keys(store) == [C, D]


def test_a_sweep_s_lease_names_what_it_needs_at_every_beat(store, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    needed = {B, A}
    with sweep_lease(store.root, "mine", lambda: needed) as lease:
        assert keys_named(store) == [A, B]
        needed.add(C)
        end = time.monotonic() + 30
        while keys_named(store) != [A, B, C]:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert lease.path.exists()
    assert list((store.root / "leases" / "sweeps").iterdir()) == []


def keys_named(store: Store) -> list[str]:
    return [key for _, lease in live_leases(store.root / "leases" / "sweeps") for key in lease.note["keys"]]


@pytest.mark.parametrize("keys_of_lease", [None, 3, "abc", {"a": 1}, [1, None, A]])
def test_a_lease_that_another_program_wrote_does_no_harm(store, keys_of_lease):
    publish(store, A, used_days_ago=1)
    lease = sweep_lease(store.root, "odd", [])
    lease.path.parent.mkdir(parents=True)
    note = {"study": None, "keys": keys_of_lease}
    lease.path.write_text(json.dumps({"holder": asdict(Holder.this_process()), "note": note}))
    assert removed(store, 0) == ([] if isinstance(keys_of_lease, list) else [A])


def make_pretraining(epochs: int) -> StageSpec:
    training = {"epochs": epochs, "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant"}
    return StageSpec("pretrain", 1, {"training": training}, {}, "0" * 32, 0, {"device": "cpu"})


def test_stages_need_themselves_their_inputs_and_the_training_that_they_could_start_from(store):
    short, long = make_pretraining(2), make_pretraining(4)
    with store.attempt(short.key) as attempt:
        history = [{"epoch": epoch, "validation_error": 1.0} for epoch in (1, 2)]
        store.publish(attempt, {"history": history, "spec": short.to_json()})
    remember(store, short)
    tuned = StageSpec("finetune", 1, {}, {"pretrain": long.key, "rank": A}, "0" * 32, 0, {})
    assert needed_keys(store, [long, tuned]) == {long.key, tuned.key, short.key, A}
    publish(store, long.key)
    assert needed_keys(store, [long, tuned]) == {long.key, tuned.key, A}, "it has been trained"


def test_the_checkpoints_of_what_is_needed_stay(store):
    left, needed = leave_checkpoint(store, A, 3), leave_checkpoint(store, B, 3)
    assert clean(store, 0, [B]).leftovers == (f"checkpoints/{A[:2]}/{A}",)
    assert [left.exists(), needed.exists()] == [False, True]


def test_a_whole_artifact_in_an_unreadable_one_s_place_stays(store, monkeypatch):
    publish(store, A)
    manifest = store.look_at(A).folder / MANIFEST
    whole = manifest.read_text()
    manifest.write_text("{")
    list_leftovers = FolderStore.leftovers

    def then_published_again(*arguments, **options):
        found = list_leftovers(*arguments, **options)
        manifest.write_text(whole)
        return found

    monkeypatch.setattr(FolderStore, "leftovers", then_published_again)
    clean(store, 10**9)
    assert find_whole(store, A) is not None


@pytest.mark.parametrize("stage", needs.GIVEN)
def test_what_a_sweep_that_is_starting_has_found_stays(store, stage):
    for key, age_s in ((A, 0.5 * needs.GIVEN_S), (B, 1.5 * needs.GIVEN_S)):
        publish(store, key, used_days_ago=age_s / DAY_S, stage=stage)
    publish(store, C)
    assert removed(store, 0) == [B, C]


def test_a_dead_sweep_keeps_nothing(store):
    publish(store, A)
    lease = sweep_lease(store.root, "dead", [A])
    lease.path.parent.mkdir(parents=True)
    holder = replace(Holder.this_process(), born="1")
    lease.path.write_text(json.dumps({"holder": asdict(holder), "note": {"study": "dead", "keys": [A]}}))
    done = clean(store, 0)
    assert [entry.key for entry in done.artifacts] == [A]
    assert done.sweeps == ()


NEVER_LEFT = []


def leave_attempt(store: Store, key: str, days: float):
    NEVER_LEFT.append(store.attempt(key))  # a process that dies does not tidy up
    attempt = NEVER_LEFT[-1].__enter__()
    attempt.write_json("part", 1)
    for path in (attempt.folder / "part.json", attempt.folder):
        set_age(path, days)
    return attempt.folder


def leave_checkpoint(store: Store, key: str, days: float):
    store.save_checkpoint(key, 3, {"w": torch.zeros(2)}, {"epoch": 3, "history": []})
    folder = store.root / "checkpoints" / key[:2] / key
    for path in (*folder.rglob("*"), folder):
        set_age(path, days)
    return folder


def test_what_dead_processes_left_is_removed_after_a_day(store):
    old, new = leave_attempt(store, A, 1.5), leave_attempt(store, B, 0.5)
    resumable, left = leave_checkpoint(store, C, 0.5), leave_checkpoint(store, D, 1.5)
    done = clean(store, 10**9)
    assert sorted(path.partition("/")[0] for path in done.leftovers) == ["attempts", "checkpoints"]
    assert done.freed_bytes > 0
    assert [path.exists() for path in (old, new, resumable, left)] == [False, True, True, False]


def test_an_attempt_of_a_process_that_has_ended_is_removed_at_once(store):
    mine = leave_attempt(store, A, 0)
    code = "import os, sys; from engine.store import Store; (a := Store(sys.argv[1]).attempt(sys.argv[2])).__enter__()"
    subprocess.run([sys.executable, "-c", code + "; os.kill(os.getpid(), 9)", store.root, B], check=False)
    elsewhere = store.root / "attempts" / f"{C}-00000000.1.2-0123456789ab"
    elsewhere.mkdir()
    (dead,) = clean(store, 10**9).leftovers
    assert dead.startswith(f"attempts/{B}-")
    assert mine.exists()
    assert elsewhere.exists(), "whether that process lives is not known here"


def leave_abandoned(store: Store, key: str, days: float):
    folder = leave_checkpoint(store, key, days)
    store.abandon_checkpoints(key)
    for path in (folder, folder / ABANDONED):
        set_age(path, days)
    return folder


def test_checkpoints_that_nobody_wants_go_before_anything_that_is_finished(store):
    publish(store, A, used_days_ago=30)
    left = leave_abandoned(store, B, 0)
    later = leave_abandoned(store, C, 0.1)
    size = tree_bytes(store.root)
    assert clean(store, size).leftovers == (), "while there is room they stay: they may be wanted again"
    done = clean(store, size - 1)
    assert done.leftovers == (f"checkpoints/{C[:2]}/{C}",)
    assert done.freed_bytes == size - tree_bytes(store.root)
    assert not later.exists()
    size = tree_bytes(store.root)
    done = clean(store, size - 1, dry_run=True)
    assert (done.artifacts, done.leftovers) == ((), (f"checkpoints/{B[:2]}/{B}",))
    assert clean(store, size - 1) == done
    assert not left.exists()
    assert keys(store) == [A]


def test_checkpoints_of_an_interrupted_sweep_go_in_line_with_what_is_finished(store):
    publish(store, A, used_days_ago=0.6)
    publish(store, B, used_days_ago=0.2)
    left = leave_checkpoint(store, C, 0.4)
    size = tree_bytes(store.root)
    assert removed(store, size - 1) == [A]
    assert left.exists()
    assert removed(store, tree_bytes(store.root) - 1) == []
    assert not left.exists()
    assert keys(store) == [B]


def test_checkpoints_that_somebody_wants_stay_whoever_else_does_not(store):
    with stage_lease(store.root, A, {}), sweep_lease(store.root, "other", [B]):
        for key in (A, B, C):
            leave_abandoned(store, key, 0)
        assert clean(store, 0, [C]).leftovers == ()
        assert clean(store, 0).leftovers == (f"checkpoints/{C[:2]}/{C}",)


def test_a_stage_that_is_taken_up_again_is_not_abandoned(store):
    publish(store, A, used_days_ago=0.5)
    left = leave_abandoned(store, B, 0.1)
    store.take_up_checkpoints(B)
    assert removed(store, tree_bytes(store.root) - 1) == [A]
    assert left.exists()


def test_checkpoints_of_a_finished_stage_are_removed(store):
    publish(store, A)
    left = leave_checkpoint(store, A, 0)
    assert clean(store, 10**9).leftovers == (f"checkpoints/{A[:2]}/{A}",)
    assert not left.exists()
    assert keys(store) == [A]


def test_leases_of_the_dead_are_removed_and_those_of_the_living_stay(store):
    folder = store.root / "leases"
    with stage_lease(store.root, A, {}) as stage, sweep_lease(store.root, "alive", []) as sweep:
        dead = json.dumps({"holder": asdict(replace(Holder.this_process(), born="1")), "note": {}})
        left = [folder / "stages" / f"{B}.json", folder / "sweeps" / f"{B}.json"]
        for path in left:
            path.write_text(dead)
        planned = clean(store, 10**9, dry_run=True)
        assert planned.leftovers == (f"leases/stages/{B}.json", f"leases/sweeps/{B}.json")
        assert all(path.exists() for path in left)
        assert clean(store, 10**9) == planned
        assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted([stage.path, sweep.path])


def test_a_sweep_whose_lease_was_removed_while_it_slept_shows_it_again(store, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    with sweep_lease(store.root, "slept", [A]) as lease:
        os.utime(lease.path, (1, 1))
        clean(store, 10**9)
        end = time.monotonic() + 30
        while keys_named(store) != [A]:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_what_a_live_stage_writes_stays_however_old(store):
    attempt, kept = leave_attempt(store, A, 3), leave_checkpoint(store, A, 3)
    with stage_lease(store.root, A, {}):
        assert clean(store, 0).leftovers == ()
    assert attempt.exists()
    assert kept.exists()


def test_quarantine_and_unreadable_artifacts_are_removed(store):
    for key in (A, B, C):
        publish(store, key)
    (store.look_at(A).folder / "filling.json").write_text("2")
    store.quarantine(A)
    (store.root / "artifacts" / B[:2] / B / MANIFEST).write_text("{")
    done = clean(store, 10**9)
    assert sorted(path.partition("/")[0] for path in done.leftovers) == ["artifacts", "quarantine"]
    assert keys(store) == [C]
    assert list((store.root / "quarantine").iterdir()) == []


def test_a_link_in_the_store_is_not_followed(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x" * 10**6)
    (store.root / "artifacts" / "aa").mkdir(parents=True)
    (store.root / "artifacts" / "aa" / A).symlink_to(outside)
    (store.root / "attempts" / f"{B}-x").symlink_to(outside)
    assert tree_bytes(store.root) < 10**6
    assert clean(store, 0).freed_bytes == 0
    assert (outside / "precious").exists()


def test_the_store_s_own_inputs_in_a_circle_do_no_harm(store):
    publish(store, A, inputs=(B,))
    publish(store, B, inputs=(A,))
    assert len(removed(store, 0)) == 2
    assert leftovers.LEFT_S == DAY_S
