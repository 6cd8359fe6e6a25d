"""Response maps under noise, with inhibition and without: ``python -m pipelines.responses``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from engine.corruptions import distort
from engine.data import Split
from engine.errors import InputError
from engine.figures.saving import require_folder, save_figure
from engine.layers import PUSH_PULL
from engine.metrics import ResponseStability, response_stability
from engine.report.terminal import make_console, say
from engine.report.text_tables import Table
from engine.stages import data_getter, prepare_data, run_chain
from engine.stages.network import load_network
from engine.store import open_store
from pipelines._command_line import run
from pipelines._progress import stage_bar, waiting
from pipelines.trial import NetworkOptions, describe_stage, make_config, make_plan

UNITS = {"gaussian_variance": "variance", "awgn": "σ", "poisson": "photons", "blur": "σ", "contrast": "factor"}


@dataclass(kw_only=True)
class ResponsesOptions(NetworkOptions):
    """Show how a push-pull layer's response maps and its plain convolution's hold up under noise (paper's Fig. 2).

    The network is the trial's, trained if the store does not have it; its first layer becomes a push-pull layer unless
    the settings say where.

    Example: python -m pipelines.responses --dataset mnist --recipe lenet --set model.name=lenet-a pretrain.epochs=5
    """

    levels: Annotated[tuple[float, ...], tyro.conf.arg(metavar="X ...")] = (0.01, 0.1, 0.2, 0.3, 0.5)
    """Levels of the distortion."""
    distortion: str = "gaussian_variance"
    """The distortion: gaussian_variance, awgn, poisson, blur, contrast or one of yours."""
    image: int = 0
    """Position of the test image that is shown."""
    filter: Annotated[int | None, tyro.conf.arg(metavar="K")] = None
    """Index of the filter that is shown; the one that answers the image most strongly if not given."""
    n_images: int = 500
    """Test images that the correlations are averaged over, at most."""
    output: Path = Path("responses.png")
    """Where the figure goes."""


def main(options: ResponsesOptions) -> int:
    """Write the figure and print how stable the responses are."""
    console = make_console()
    device = options.set_up()
    if options.n_images < 1:
        raise InputError(f"`--n-images` must be ≥ 1, got {options.n_images}")
    require_folder(options.output, "the figure")
    blank = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    for level in options.levels:  # one that cannot be is told before anything is trained
        distort(blank, options.distortion, level, seed=0)
    config = make_config(options)
    if config.push_pull.where == "none" and options.init is None:
        config = config.with_settings({"push_pull.where": "first"})
    store = open_store(options.store or options.home / "store")
    with waiting(console, "reading the data set"):
        info, _ = prepare_data(config.data, store, download=options.download)
    say(console, *info.notes)
    plan = make_plan(options, config, info, store, device, console)
    get_data = data_getter(info, store, device)
    with stage_bar(console) as show:
        outcome = next(run_chain(plan, store, get_data, device=device, on_progress=show))
    say(console, describe_stage(outcome))
    network = load_network(outcome.artifact, None, device)
    layer = first_push_pull(network)
    images = chosen_images(get_data(info.key).test, options)
    found = response_stability(
        network, layer, images, options.levels, distortion=options.distortion, filter=options.filter
    )
    say(console, stability_table(found, UNITS.get(options.distortion, "level")))
    write_figure(found, f"{plan.config.model.name}, layer {layer}, filter {found.filter}", options)
    say(console, f"wrote {options.output}")
    return 0


def chosen_images(test: Split, options: ResponsesOptions) -> Split:
    """Return the image that is shown, and others from all over the test images."""
    if not 0 <= options.image < len(test):
        raise InputError(f"`--image` must be from 0 to {len(test) - 1}, got {options.image}")
    n_others = min(options.n_images, len(test)) - 1
    others = torch.arange(n_others) * len(test) // max(1, n_others)
    return test.take(torch.cat([torch.tensor([options.image]), others[others != options.image]]))


def first_push_pull(network: torch.nn.Module) -> str:
    """Return the name of a network's first push–pull layer; raises ``InputError`` if it has none."""
    for name, module in network.named_modules():
        if isinstance(module, PUSH_PULL):
            return name
    raise InputError("the network has no push–pull layer; say where with --set push_pull.where=first")


def stability_table(found: ResponseStability, unit: str) -> Table:
    """Return the correlations with the clean maps, a row a level."""
    rows = [
        (f"{level:g}", *(f"{values[place]:.3f}" for values in found.correlation.values()))
        for place, level in enumerate(found.levels[1:], start=1)
    ]
    return Table(
        "Correlation with the clean maps", (unit, *found.correlation), rows, align="l" + "r" * len(found.correlation)
    )


def write_figure(found: ResponseStability, title: str, options: ResponsesOptions) -> None:
    """Draw the maps into the file of the options."""
    from engine.figures.response_maps import response_figure  # here: matplotlib is slow to import

    save_figure(response_figure(found, title, UNITS.get(options.distortion, "level")), options.output)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ResponsesOptions, main, program="responses", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
