"""From a model and images to the distances of its filters, a batch of maps in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from engine.data.scratch import scratch
from engine.data.streamed import Images, fits
from engine.data.streamed import batch_size as batch_size_for
from engine.errors import InputError
from engine.ranking.batches import Batches
from engine.ranking.distances import DISTANCES, extremes, layers_distances, require_finite
from engine.ranking.filters import wanted_layers
from engine.ranking.maps import BATCH, activation_maps, check_images, map_reader


def check_distance(
    model: nn.Module, example: torch.Tensor, layers: str | Iterable[str] | None = None, *, distance: str = "emd_1d"
) -> None:
    """Find out, from one image's sizes only, whether a distance is defined on the layers' maps.

    Args:
        model: as for ``activation_maps``; may be on the meta device if ``example`` is too.
        example: an image ``(1, c, h, w)``.
        layers: names, or None for all that can be ranked.
        distance: a name in ``DISTANCES``.

    Raises:
        InputError: maps that the distance says nothing about, such as a single pixel, by the layer's name; a package
            that it needs and that cannot be imported; whatever else it raises for blank maps; or what
            ``activation_maps`` refuses.
    """
    function = DISTANCES[distance]
    for layer, maps in next(activation_maps(model, example, layers)).items():
        nothing = torch.zeros(1, 1, *maps.shape[2:])
        try:
            function(nothing, nothing)
        except InputError as error:
            raise InputError(f"layer {layer!r}: {error}") from None
        except Exception as error:  # a user's own function raises as it likes
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"layer {layer!r}: distance {distance!r} fails on blank maps ({reason})") from error


def paired_distances(
    model: nn.Module,
    clean: Images,
    noisy: Images,
    layers: str | Iterable[str] | None = None,
    *,
    distance: str = "emd_1d",
    at: str = "activation",
    batch_size: int | Batches = BATCH,
) -> dict[str, torch.Tensor]:
    """Return the distances between each clean image's activation maps and its noisy one's.

    Args:
        model: as for ``activation_maps``, as are ``layers``, ``at`` and ``batch_size``.
        clean: images ``(n, c, h, w)``.
        noisy: ``(n, c, h, w)``, the i-th made from the i-th clean one.
        layers: names, or None for all that can be ranked.
        distance: a name in ``DISTANCES``.
        at: the place where the maps are taken.
        batch_size: images in a batch, of which ``Batches`` may make fewer.

    Returns:
        ``{layer: (n, f)}``, float64, on the CPU.

    Raises:
        InputError: sets of different sizes, or whatever ``activation_maps`` and ``filter_distances`` refuse.
    """
    _ = DISTANCES[distance]  # an unknown name is told before anything runs
    for images in (clean, noisy):
        check_images(images)
    if len(clean) != len(noisy):
        raise InputError(
            f"paired sets need as many noisy images as clean ones, got {len(clean)} clean and {len(noisy)} noisy; "
            "for sets that do not pair up, compare exemplars"
        )
    wanted = wanted_layers(model, layers)
    rows: dict[str, list[torch.Tensor]] = {layer: [] for layer in wanted}
    of_clean, of_noisy = (map_reader(model, images, wanted, at=at) for images in (clean, noisy))

    def compare(start: int, end: int) -> None:
        maps = of_clean(clean[start:end]), of_noisy(noisy[start:end])
        for layer, found in layers_distances(*maps, distance).items():
            rows[layer].append(found)

    Batches.of(batch_size).over(len(clean), compare)
    return _on_host({layer: torch.cat(found) for layer, found in rows.items()})


def _on_host(distances: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return layers' distances ``(n, f)`` on the CPU, by one copy."""
    if all(found.device.type == "cpu" for found in distances.values()):
        return distances
    together = torch.cat(list(distances.values()), dim=1).cpu()
    parts = together.split([found.shape[1] for found in distances.values()], dim=1)
    return {layer: part.contiguous() for layer, part in zip(distances, parts, strict=True)}


def exemplar_distances(
    model: nn.Module,
    clean: torch.Tensor,
    noisy: torch.Tensor,
    layers: str | Iterable[str] | None = None,
    *,
    distance: str = "emd_1d",
    at: str = "activation",
    batch_size: int | Batches = BATCH,
) -> dict[str, torch.Tensor]:
    """Return the distances between the activation maps of clean and of noisy exemplars, ``{layer: (f,)}``, float64.

    With one exemplar each, theirs (Bianchi et al. 2019, section 3.4); with more, the mean over all pairs of a clean and
    a noisy one. ``rank_filters`` sorts such a vector without a vote.

    Args:
        model: as for ``paired_distances``, as are all but the next two.
        clean: the clean exemplars, images ``(k, c, h, w)``.
        noisy: the noisy exemplars, images ``(m, c, h, w)``.
        layers: names, or None for all that can be ranked.
        distance: a name in ``DISTANCES``.
        at: the place where the maps are taken.
        batch_size: images in a batch.
    """
    for images in (clean, noisy):
        check_images(images)
    pairs = paired_distances(
        model,
        clean.repeat_interleave(len(noisy), dim=0),
        noisy.repeat(len(clean), 1, 1, 1),
        layers,
        distance=distance,
        at=at,
        batch_size=batch_size,
    )
    return {layer: distances.mean(dim=0) for layer, distances in pairs.items()}


def pixel_features(images: Images) -> torch.Tensor:
    """Return images' pixels, each image's in one line, as features for ``find_exemplar``: ``(n, c·h·w)`` in [0, 1].

    Those of streamed images are on the CPU, those of a tensor on its device.

    Args:
        images: uint8 ``(n, c, h, w)``.
    """
    device = images.device if isinstance(images, torch.Tensor) else "cpu"
    features = scratch((len(images), images.shape[1:].numel()), torch.float32, device)
    size = batch_size_for(images, len(images))
    for start, batch in zip(range(0, len(images), size), images.split(size), strict=True):
        features[start : start + size] = batch.flatten(1).float() / 255
    return features


def map_features(
    model: nn.Module,
    images: Images,
    layer: str,
    *,
    positive: bool = False,
    at: str = "activation",
    batch_size: int | Batches = BATCH,
) -> torch.Tensor:
    """Return one layer's activation maps, each image's in one line, as features for ``find_exemplar``.

    Source: Bianchi et al. 2019, section 4.4, the collapsed feature maps.

    Args:
        model: as for ``activation_maps``, as are ``images``, ``at`` and ``batch_size``.
        images: ``(n, c, h, w)``.
        layer: its name.
        positive: keep only whether a value is above 0, which is all that the metric "hamming" looks at and takes a
            quarter of the memory.
        at: the place where the maps are taken.
        batch_size: images in a batch.

    Returns:
        ``(n, f·h·w)``, float or bool, on the maps' device where its free memory takes them easily, else on the CPU.

    Raises:
        InputError: ``positive`` of maps that hold NaN or infinite values, or whatever ``activation_maps`` refuses.
    """
    features: torch.Tensor | None = None
    seen: list[torch.Tensor] = []
    read = map_reader(model, images, layer, at=at)

    def keep(start: int, end: int) -> None:
        nonlocal features
        lines = read(images[start:end])[layer].flatten(1)
        if positive:  # in which nobody could see NaN any more
            seen.extend(extremes([lines]))
            lines = lines > 0
        if features is None:
            n_bytes = len(images) * lines.shape[1] * lines.element_size()
            place = lines.device if fits(n_bytes, lines.device) else "cpu"
            features = scratch((len(images), lines.shape[1]), lines.dtype, place)
        features[start:end] = lines

    Batches.of(batch_size).over(len(images), keep)
    assert features is not None  # an empty set of images was refused
    if seen:
        require_finite(seen, "exemplar")
    return features
