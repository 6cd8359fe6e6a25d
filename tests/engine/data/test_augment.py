import numpy as np
import pytest
import torch

from engine.data import alternate_flips, apply_crop_flips, draw_crop_flips


def crop_flip(images: torch.Tensor, *, generator: torch.Generator, flip: torch.Tensor | None = None) -> torch.Tensor:
    """Crop and flip one batch, as a training does each of an epoch."""
    return apply_crop_flips(images, draw_crop_flips([len(images)], images.shape[3], generator=generator, flip=flip))


def crop_flip_by_loop(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Crop and flip image by image with numpy, from the same draws."""
    n, _, side, _ = images.shape
    pad = max(1, side // 8)
    offsets = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).tolist()
    flips = torch.rand(n, generator=generator).tolist()
    result = []
    for number, image in enumerate(images.numpy()):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
        top, left = offsets[0][number], offsets[1][number]
        crop = padded[:, top : top + side, left : left + side]
        result.append(crop[:, :, ::-1] if flips[number] < 0.5 else crop)
    return torch.from_numpy(np.stack(result))


@pytest.mark.parametrize(("channels", "side"), [(1, 4), (3, 16), (3, 33)])
def test_crop_flip_equals_a_loop_over_the_images(channels, side):
    images = torch.randint(0, 256, (40, channels, side, side), generator=torch.Generator().manual_seed(0)).byte()
    found = crop_flip(images, generator=torch.Generator().manual_seed(5))
    assert found.dtype == torch.uint8
    assert torch.equal(found, crop_flip_by_loop(images, torch.Generator().manual_seed(5)))


def test_crop_flip_keeps_floats():
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = crop_flip(images, generator=torch.Generator().manual_seed(5))
    assert found.dtype == torch.float32
    assert torch.equal(found, crop_flip_by_loop(images, torch.Generator().manual_seed(5)))


def test_crop_flip_flips_about_half_and_uses_every_offset():
    ramp = torch.arange(32, dtype=torch.uint8).expand(2000, 1, 32, 32)
    found = crop_flip(ramp, generator=torch.Generator().manual_seed(0))[:, 0, 0].int()
    flipped = found[:, 16] < found[:, 15]
    assert abs(int(flipped.sum()) - 1000) < 5 * (2000 * 0.25) ** 0.5
    centres = torch.where(flipped, found[:, 15], found[:, 16])
    assert centres.unique().tolist() == list(range(12, 21))  # nine offsets: −4…4


def test_crop_flip_depends_on_the_generator_alone():
    images = torch.randint(0, 256, (8, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    torch.manual_seed(0)
    first = crop_flip(images, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    assert torch.equal(crop_flip(images, generator=torch.Generator().manual_seed(1)), first)
    assert not torch.equal(crop_flip(images, generator=torch.Generator().manual_seed(2)), first)


def test_crop_flip_mirrors_the_images_that_are_named_and_crops_as_without_names():
    images = torch.randint(0, 256, (6, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
    flip = torch.tensor([True, False, True, True, False, False])
    named = crop_flip(images, generator=torch.Generator().manual_seed(1), flip=flip)
    plain = crop_flip(images, generator=torch.Generator().manual_seed(1), flip=torch.zeros(6, dtype=torch.bool))
    for image, cropped, mirrored in zip(named, plain, flip, strict=True):
        assert torch.equal(image, cropped.flip(-1) if mirrored else cropped)


def test_alternate_flips_flip_each_image_every_other_epoch():
    epochs = [alternate_flips(1000, epoch, generator=torch.Generator().manual_seed(3)) for epoch in range(4)]
    assert 400 < int(epochs[0].sum()) < 600
    assert torch.equal(epochs[1], ~epochs[0])
    assert torch.equal(epochs[2], epochs[0])
    assert torch.equal(epochs[3], epochs[1])
