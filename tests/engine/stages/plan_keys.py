"""Keys of the stages of a trial's plan, and which of them a setting changes."""

from typing import Any

from engine.settings import TrialConfig
from engine.stages import plan_trial

STAGES = ("pretrain", "rank", "finetune", "evaluate")


KINDS = ("pretrain", "init", "rank", "finetune", "evaluate")


ALL = {"finetune.which": "most", "push_pull.where": "first"}
"""The context in which most settings matter: all four stages, with push–pull layers."""


def keys(info, *contexts: dict[str, Any], **options) -> dict[str, str]:
    """Return the keys of the stages of the default trial with some settings changed."""
    settings: dict[str, Any] = {}
    for context in contexts:
        settings |= context
    plan = plan_trial(TrialConfig().with_settings(settings), info, **options)
    return {spec.stage: spec.key for spec in plan}


def changed(info, context: dict[str, Any], setting: dict[str, Any]) -> tuple[str, ...]:
    """Return the stages whose keys a setting changes."""
    before, after = keys(info, context), keys(info, context, setting)
    return tuple(stage for stage in KINDS if before.get(stage) != after.get(stage))


UNPAIRED = {**ALL, "rank.pairing": "unpaired"}
