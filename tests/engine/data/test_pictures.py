"""What every kind of file decodes to, worked out from the pixels that were written."""

import struct

import numpy as np
import pytest
from PIL import Image

from engine.data.pictures import decode, has_signature, read_header, suffixes
from engine.data.wide import PictureError, Scale, Scales
from tests.engine.data.pictures import noise, png, saved, tiff

UPPER = Scales(whole=Scale(0, 65535, shift=8), real=Scale(0.0, 1.0))


def shown(content: bytes, side: int, channels: int = 3) -> np.ndarray:
    """Return decoded pixels as (h, w, c), or (h, w) of one channel."""
    pixels = decode(content, side, channels, UPPER)
    assert pixels.shape == (channels, side, side)
    assert pixels.dtype == np.uint8
    return pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)


@pytest.mark.parametrize("format", ["png", "bmp", "tiff", "ppm"])
def test_colour_is_kept(format):
    image = noise(8, 8, 3)
    np.testing.assert_array_equal(shown(saved(image, format), 8), image)


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif", "jpeg2000"])
def test_compressed_formats_are_read(format):
    ramp = np.stack([np.linspace(0, 255, 32, dtype=np.uint8)[None].repeat(32, 0)] * 3, axis=2)
    assert np.abs(shown(saved(ramp, format, quality=95), 32).astype(int) - ramp).max() <= 12


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_is_r_g_b(channels):
    grey = noise(8, 8)
    pixels = shown(saved(grey), 8, channels)
    np.testing.assert_array_equal(pixels if channels == 1 else pixels[..., 0], grey)
    assert channels == 1 or np.ptp(pixels, axis=2).max() == 0


def test_colour_becomes_luma():
    image = noise(8, 8, 3)
    assert np.abs(shown(saved(image), 8, 1) - image @ np.array([0.299, 0.587, 0.114])).max() < 1


def test_black_and_white_is_0_and_255():
    image = Image.fromarray(noise(8, 8)).convert("1")
    np.testing.assert_array_equal(shown(saved(image), 8, 1), np.asarray(image) * np.uint8(255))


def test_palettes_become_their_colours():
    colours = noise(256, 3)
    palette = Image.fromarray(noise(8, 8), mode="P")
    palette.putpalette(colours.flatten().tolist())
    for format in ("png", "gif", "bmp"):
        np.testing.assert_array_equal(shown(saved(palette, format), 8), colours[np.asarray(palette)])


def test_cmyk_becomes_colour():
    ink = noise(8, 8, 4)
    expected = (255 - ink[..., :3].astype(int)) * (255 - ink[..., 3:].astype(int)) / 255
    image = Image.fromarray(ink, mode="CMYK")
    assert np.abs(shown(saved(image, "tiff"), 8).astype(float) - expected).max() <= 1


# an image of eight values that are all different, so that each of the eight orientations looks otherwise; by the
# definition of the tag, what is row 0 and column 0 of the stored one
CORNER = np.kron(np.array([[10, 80, 150], [220, 40, 110], [180, 250, 60]], np.uint8), np.ones((4, 4), np.uint8))
TURNED = {
    1: CORNER,  # row 0 is the top, column 0 the left side
    2: CORNER[:, ::-1],  # top, right
    3: CORNER[::-1, ::-1],  # bottom, right
    4: CORNER[::-1],  # bottom, left
    5: CORNER.T,  # left, top
    6: CORNER.T[::-1],  # right, top
    7: CORNER[::-1, ::-1].T,  # right, bottom
    8: CORNER.T[:, ::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", sorted(TURNED))
@pytest.mark.parametrize("format", ["png", "webp", "tiff", "jpeg"])
def test_every_orientation_decodes_as_it_is_shown(format, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.stack([TURNED[orientation]] * 3, axis=2))
    options = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(format, {})
    pixels = shown(saved(stored, format, exif=exif, **options), 12)[..., 0]
    assert np.abs(pixels.astype(int) - CORNER).max() <= (8 if format == "jpeg" else 0)


@pytest.mark.parametrize("orientation", [3, 6])
def test_deep_grey_is_turned_too(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    deep = TURNED[orientation].astype(np.uint16) << 8
    for content in (saved(deep, exif=exif), tiff(deep, orientation=orientation)):
        np.testing.assert_array_equal(shown(content, 12, 1), CORNER)


def test_a_turned_oblong_picture_keeps_its_central_square_where_it_is_shown():
    upright = noise(21, 8, 3)
    exif = Image.Exif()
    exif[274] = 6
    np.testing.assert_array_equal(shown(saved(np.rot90(upright), exif=exif), 8), upright[6:14])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_do_no_harm():
    image = noise(8, 8, 3)
    content = saved(image, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    np.testing.assert_array_equal(shown(content, 8), image)


def test_transparency_is_laid_over_black():
    image = noise(8, 8, 4)
    expected = image[..., :3] * (image[..., 3:] / 255)
    for format in ("png", "tiff"):
        assert np.abs(shown(saved(image, format), 8) - expected).max() <= 1
    grey = noise(8, 8, 2)
    assert np.abs(shown(saved(Image.fromarray(grey, mode="LA")), 8, 1) - grey[..., 0] * (grey[..., 1] / 255)).max() <= 1


@pytest.mark.parametrize("format", ["png", "gif"])
def test_a_transparent_colour_of_a_palette_is_black(format):
    colours = noise(256, 3, seed=1)
    colours[7] = 200, 100, 50
    places = noise(8, 8)
    places[2] = 7
    palette = Image.fromarray(places, mode="P")
    palette.putpalette(colours.flatten().tolist())
    expected = colours[places]
    expected[places == 7] = 0
    np.testing.assert_array_equal(shown(saved(palette, format, transparency=7), 8), expected)


def test_a_transparent_colour_is_black_at_every_depth():
    grey = np.array([[0, 3], [9, 15]])
    rows = [bytes([row[0] << 4 | row[1]]) for row in grey]
    four_bits = png(2, 4, 0, rows, transparent=struct.pack(">H", 9))
    np.testing.assert_array_equal(shown(four_bits, 2, 1), [[0, 51], [0, 255]])
    eight_bits = png(2, 8, 0, [bytes([7, 200]), bytes([200, 8])], transparent=struct.pack(">H", 200))
    np.testing.assert_array_equal(shown(eight_bits, 2, 1), [[7, 0], [0, 8]])
    colours = [[(0x1234, 0x2345, 0x3456), (0x1134, 0x2345, 0x3456)], [(1, 2, 3), (0xFFFF, 0, 0x8000)]]
    rows = [b"".join(struct.pack(">3H", *colour) for colour in row) for row in colours]
    deep = png(2, 16, 2, rows, transparent=struct.pack(">3H", *colours[0][0]))
    np.testing.assert_array_equal(shown(deep, 2), [[(0, 0, 0), (0x11, 0x23, 0x34)], [(0, 0, 0), (255, 0, 0x80)]])


def test_a_transparent_value_of_16_bit_grey_is_black():
    values = np.array([[0x1234, 0x8000], [0x8001, 0xFFFF]])
    content = png(2, 16, 0, [row.astype(">u2").tobytes() for row in values], transparent=struct.pack(">H", 0x8000))
    np.testing.assert_array_equal(shown(content, 2, 1), [[0x12, 0], [0x80, 0xFF]])


def test_16_bit_grey_with_alpha_is_grey():
    pixels = np.array([[0x8000, 0xFFFF, 0xFFFF, 0x8080]], ">u2")  # grey, alpha, grey, alpha
    content = png(2, 16, 4, [pixels.tobytes()] * 2)
    assert read_header(content).is_grey
    np.testing.assert_array_equal(shown(content, 2, 1), [[0x80, 0x80]] * 2)


def test_16_bit_colour_keeps_its_upper_8_bits():
    values = np.random.default_rng(0).integers(0, 65536, (4, 4, 3))
    content = png(4, 16, 2, [row.astype(">u2").tobytes() for row in values])
    np.testing.assert_array_equal(shown(content, 4), values >> 8)


def test_16_bit_grey_of_either_byte_order():
    values = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    big = Image.frombytes("I;16B", (8, 8), values.astype(">u2").tobytes())
    for content in (saved(values), saved(values, "tiff"), saved(big, "tiff"), tiff(values)):
        np.testing.assert_array_equal(shown(content, 8, 1), values >> 8)


def test_a_tiff_whose_0_is_white_is_inverted():
    values = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    np.testing.assert_array_equal(shown(tiff(values, photometric=0), 8, 1), 255 - (values >> 8))


def test_of_an_animation_the_first_frame_is_used():
    frames = [Image.fromarray(noise(8, 8, seed=seed)) for seed in (1, 2)]
    for format in ("gif", "tiff"):
        content = saved(frames[0], format, save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(shown(content, 8, 1), np.asarray(frames[0]))
        assert read_header(content).has_more
    assert not read_header(saved(frames[0], "gif")).has_more


def test_what_is_too_large_is_cropped_and_averaged():
    wide = noise(12, 20, 3)
    np.testing.assert_array_equal(shown(saved(wide), 12), wide[:, 4:16])
    checkers = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    assert set(shown(saved(checkers), 4, 1)[1:3, 1:3].flatten().tolist()) <= {127, 128}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\0\5\x16\7" + bytes(99), "no picture of a format that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a format that is read"),
        (saved(noise(8, 8, 3))[:60], "truncated|broken|cut"),
        (saved(noise(64, 64, 3), "jpeg")[:900], "truncated"),
    ],
)
def test_what_is_no_whole_picture_is_refused_in_words(content, reason):
    with pytest.raises(PictureError, match=reason):
        decode(content, 8, 3, UPPER)


def test_headers():
    header = read_header(saved(noise(9, 12, 3)))
    assert (header.side, header.is_square, header.is_grey, header.is_wide) == (9, False, False, False)
    header = read_header(saved(noise(9, 9).astype(np.uint16)))
    assert (header.side, header.is_square, header.is_grey, header.is_wide) == (9, True, True, True)


def test_every_format_is_known_by_its_suffix_and_most_by_their_first_bytes():
    assert suffixes() >= {".jpg", ".jfif", ".png", ".webp", ".avif", ".tif", ".gif", ".bmp", ".ppm", ".pgm", ".jp2"}
    assert not suffixes() & {".eps", ".pdf", ".h5", ".txt", ".mpg", ""}
    for format in ("png", "jpeg", "gif", "webp", "avif", "bmp", "tiff", "jpeg2000"):
        assert has_signature(saved(noise(8, 8, 3), format)[:16])
    assert not has_signature(b"name,label\ncat,1")
