"""The stage that tests a network on clean and corrupted images."""

from __future__ import annotations

from typing import Any

from engine.metrics import classification_error, error_table
from engine.metrics.table import ErrorTable
from engine.stages.context import StageContext
from engine.stages.network import load_network
from engine.stages.noisy import distorted
from engine.stages.probe import TEST, VALIDATION, corruption_seed
from engine.stages.spec import register_stage


@register_stage("evaluate", version=1)
def evaluate(context: StageContext) -> None:
    """Test a network: clean, by corruption and severity, and on the distortion that it was tuned on.

    Trials are compared by ``objective``, the mean error over the objective's corruptions of the validation images; the
    test images' errors are for the report only.

    Files: ``errors.json``: {"objective", "validation": {…}, "test": {"clean", "tuned_distortion", "corrupted": rows}}.
    """
    settings = context.spec.settings
    network = load_network(context.inputs["pretrain"], context.inputs.get("finetune"), context.device)
    validation, test = context.data.validation, context.data.test
    on_validation = error_table(
        network,
        validation,
        corruptions=settings["objective"],
        severities=settings["severities"],
        seed=corruption_seed(VALIDATION),
        table=settings["table"],
    )
    on_test = error_table(
        network,
        test,
        corruptions=settings["corruptions"],
        severities=settings["severities"],
        seed=corruption_seed(TEST),
        table=settings["table"],
    )
    tuned = settings.get("distortion")
    tuned_error = None
    if tuned is not None:
        tuned_error = classification_error(network, distorted(test, tuned, seed=corruption_seed(TEST)))
    context.attempt.write_json(
        "errors",
        {
            "objective": sum(on_validation.values()) / len(on_validation),
            "validation": {
                "clean": classification_error(network, validation),
                "corrupted": table_to_rows(on_validation),
            },
            "test": {
                "clean": classification_error(network, test),
                "tuned_distortion": tuned_error,
                "corrupted": table_to_rows(on_test),
            },
        },
    )


def table_to_rows(table: ErrorTable) -> list[dict[str, Any]]:
    """Return an error table as raw rows, JSON."""
    return [{"corruption": name, "severity": severity, "error": error} for (name, severity), error in table.items()]


def rows_to_table(rows: list[dict[str, Any]]) -> ErrorTable:
    """Return the error table of ``table_to_rows``."""
    return {(row["corruption"], row["severity"]): row["error"] for row in rows}
