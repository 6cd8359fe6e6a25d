"""Where a distortion turns filters on or off, before and after tuning: ``python -m pipelines.disparity``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from engine.data.streamed import whole
from engine.errors import InputError, unknown_name
from engine.figures.saving import require_folder, save_figure
from engine.ranking import activation_disparity, filter_layers
from engine.ranking.selection import WHICH
from engine.report.disparity_table import BASELINE, Sums, disparity_table
from engine.report.terminal import make_console, say
from engine.stages.noisy import distorted
from engine.stages.probe import TEST, corruption_seed
from pipelines._command_line import run
from pipelines._workplace import Workplace, check_tunes_filters, open_workplace, seeds_from
from pipelines.trial import NetworkOptions

NAMES = {BASELINE: "baseline", **{which: which for which in WHICH if which != BASELINE}}


@dataclass(kw_only=True)
class DisparityOptions(NetworkOptions):
    """Show where activations of clean and noisy images differ in being positive, before and after tuning (filter
    paper's Fig. 6), and what that sums up to over many test images.

    The network and its tuned ones are the trial's, trained if the store does not have them; the distortion is the
    trial's too: --set distortion.name=awgn distortion.level=25 distortion.n_images=400.

    Example: python -m pipelines.disparity --set model.name=cnn-2 distortion.level=51 distortion.n_images=400
    """

    which: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ("all", "most", "random")
    """Choices of filters to tune and to compare with the baseline: most, least, random, all."""
    image: int = 0
    """Position of the test image that is shown."""
    n_images: int = 1000
    """Test images that the sums are averaged over, at most."""
    n_seeds: int = 1
    """Networks, from the trial's seed on: with several the intervals are over them, with one over the images."""
    output: Path = Path("disparity.png")
    """Where the figure goes: of the first seed."""


def main(options: DisparityOptions) -> int:
    """Write the figure and print the mean sums."""
    console = make_console()
    _check(options)
    work = open_workplace(options, console, {"finetune.which": options.which[0]})
    check_tunes_filters(work.config)
    n_test = work.info.n_test
    if not 0 <= options.image < n_test:
        raise InputError(f"`--image` must be from 0 to {n_test - 1}, got {options.image}")
    for which in options.which:
        work.plan({"finetune.which": which})  # what cannot be tuned is told before anything runs
    by_seed: list[Sums] = []
    for seed in seeds_from(work.config.seed, options.n_seeds):
        found = disparities(work, options, seed)
        by_seed.append(
            {
                which: {layer: counts.flatten(1).sum(1).double().tolist() for layer, counts in by_layer.items()}
                for which, by_layer in found.items()
            }
        )
        if len(by_seed) == 1:
            shown, n_filters = _shown(work, found)
    distortion = work.config.distortion
    say(console, disparity_table(by_seed, NAMES, n_filters, f"{distortion.name} {distortion.level:g}"))
    _write_figure(work, shown, n_filters, options)
    say(console, f"wrote {options.output}")
    return 0


def _check(options: DisparityOptions) -> None:
    require_folder(options.output, "the figure")
    if not options.which:
        raise InputError("at least one of `--which` is needed, got none")
    for which in options.which:
        if which not in NAMES or which == BASELINE:
            raise unknown_name("choice of filters", which, [name for name in NAMES if name != BASELINE])
    if options.n_images < 2:
        raise InputError(f"`--n-images` must be ≥ 2, got {options.n_images}")


def disparities(work: Workplace, options: DisparityOptions, seed: int) -> dict[str, dict[str, torch.Tensor]]:
    """Return {choice: {layer: (images, h, w)}} of the baseline and the tuned networks, the shown image first."""
    clean, noisy = _images(work, options)
    found = {}
    layers: list[str] = []
    for which in (*options.which, BASELINE):
        plan = work.plan({"seed": seed, "finetune.which": options.which[0] if which == BASELINE else which})
        artifacts = work.artifacts(plan, "pretrain" if which == BASELINE else "finetune")
        network = work.network(artifacts)
        if which != BASELINE:
            tuned = artifacts["finetune"].json("filters")
            layers = [layer for layer in filter_layers(network) if layer in tuned]
        found[which] = activation_disparity(network, clean, noisy, layers or None, at=work.config.rank.at)
    return {which: found[which] for which in (BASELINE, *options.which)}


def _images(work: Workplace, options: DisparityOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """Return test images from all over the set, the shown one first, and what the trial's distortion makes of them."""
    test, distortion = work.data.test, work.config.distortion
    n = min(options.n_images, len(test))
    others = torch.arange(n) * len(test) // n
    chosen = torch.cat([torch.tensor([options.image]), others[others != options.image]])[:n]
    clean = test.take(chosen)
    noisy = distorted(clean, {"name": distortion.name, "level": distortion.level}, seed=corruption_seed(TEST))
    return whole(clean.images), whole(noisy.images)


def _shown(
    work: Workplace, found: Mapping[str, Mapping[str, torch.Tensor]]
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, int]]:
    """Return the first image's maps, and how many filters each layer has."""
    network = work.network(work.artifacts(work.plan({}), "pretrain"))
    rankable: Mapping[str, Any] = filter_layers(network)
    maps = {NAMES[which]: {layer: counts[0] for layer, counts in by.items()} for which, by in found.items()}
    return maps, {layer: int(rankable[layer].out_channels) for layer in found[BASELINE]}


def _write_figure(
    work: Workplace,
    maps: Mapping[str, Mapping[str, torch.Tensor]],
    n_filters: Mapping[str, int],
    options: DisparityOptions,
) -> None:
    """Draw the maps into the file of the options."""
    from engine.figures.disparity_maps import disparity_figure  # here: matplotlib is slow to import

    config = work.config
    clean, noisy = (images[0].cpu() for images in _images(work, options))
    images = {"clean": clean, f"{config.distortion.name} {config.distortion.level:g}": noisy}
    title = (
        f"{config.model.name} on {config.data.name}, tuned on {config.distortion.n_images} noisy images: filters that\n"
    )
    title += "are positive for one of clean and noisy image only (in brackets: the sum)"
    save_figure(disparity_figure(images, maps, n_filters, title), options.output)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(DisparityOptions, main, program="disparity", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
