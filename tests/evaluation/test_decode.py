"""Pictures of any origin become what a person sees."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from das_ag.errors import UserError, printable
from das_ag.evaluation.decode import read_picture, suffixes

COLOURS = np.array(
    [[200, 60, 30], [30, 180, 60], [40, 70, 210], [128, 128, 128], [250, 220, 40], [12, 12, 12], [255, 255, 255]],
    dtype=np.uint8,
)
"""Within the gamut of sRGB also as numbers of the wider spaces, or clipped."""

D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
TO_SRGB = {
    "Display P3": ([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]], 2.2),
    "Adobe RGB": ([[1.3984, -0.3984, 0], [0, 1, 0], [0, -0.0429, 1.0429]], 2.19921875),
    "ProPhoto": ([[2.0343, -0.7275, -0.3067], [-0.2288, 1.2317, -0.0029], [-0.0086, -0.1533, 1.1619]], 1.8),
}
"""Matrix between linear numbers, from the CSS Color 4 specification, and the exponent of the test's profile."""
PRIMARIES = {
    "Display P3": ([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], D65),
    "Adobe RGB": ([(0.640, 0.330), (0.210, 0.710), (0.150, 0.060)], D65),
    "ProPhoto": ([(0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105)], D50),
    "sRGB": ([(0.640, 0.330), (0.300, 0.600), (0.150, 0.060)], D65),
}
"""Chromaticities of red, green and blue, and of white."""


def xyz(x, y):
    return np.array([x / y, 1, (1 - x - y) / y])


def adapted_primaries(space):
    """Columns: XYZ of the primaries, adapted to D50 by Bradford's method, as in profiles."""
    primaries, white = PRIMARIES[space]
    columns = np.stack([xyz(*primary) for primary in primaries], axis=1)
    columns *= np.linalg.solve(columns, xyz(*white))
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1, 0.8249])
    gains = (bradford @ d50) / (bradford @ xyz(*white))
    return np.linalg.inv(bradford) @ np.diag(gains) @ bradford @ columns


def profile_of(tags, space=b"RGB "):
    """An ICC profile, version 2, with tags by name."""
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name.encode(), 132 + 12 * len(tags) + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", 132 + 12 * len(tags) + len(data), b"\0" * 4, 0x02400000, b"mntr", space, b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


def xyz_tag(numbers):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * number) for number in numbers))


def curve(exponent):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * exponent))


def rgb_profile(space, exponent):
    columns = adapted_primaries(space).T
    tags = {"wtpt": xyz_tag([0.9642, 1, 0.8249])}
    tags |= {f"{letter}XYZ": xyz_tag(column) for letter, column in zip("rgb", columns, strict=True)}
    return profile_of(tags | {f"{letter}TRC": curve(exponent) for letter in "rgb"})


def grey_profile(exponent):
    return profile_of({"wtpt": xyz_tag([0.9642, 1, 0.8249]), "kTRC": curve(exponent)}, b"GRAY")


def encode(linear):
    """Linear numbers to sRGB of 8 bits."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def seen(space):
    """What `COLOURS` are in sRGB if they are numbers of another space."""
    matrix, exponent = TO_SRGB[space]
    return encode((COLOURS / 255) ** exponent @ np.array(matrix).T)


@pytest.mark.parametrize("space", TO_SRGB)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colours_are_converted_by_their_profile(tmp_path, space, kind):
    path = tmp_path / "picture"
    Image.fromarray(COLOURS[None]).save(path, kind, icc_profile=rgb_profile(space, TO_SRGB[space][1]), lossless=True)
    np.testing.assert_allclose(read_picture(path)[0], seen(space), atol=2)
    assert np.abs(seen(space) - COLOURS).max() > 20
    np.testing.assert_array_equal(read_picture(path, use_profile=False)[0], COLOURS)


@pytest.mark.parametrize("profile", ["of Pillow", "built here"])
def test_numbers_of_srgb_stay_as_they_are(tmp_path, profile):
    """A conversion would round them, and change the scores of most pictures a little."""
    pillow = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    linear = np.linspace(0, 1, 1024)
    table = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    curves = b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *(65535 * table).round().astype(int))
    columns = dict(zip("rgb", adapted_primaries("sRGB").T, strict=True))
    tags = {f"{letter}XYZ": xyz_tag(column) for letter, column in columns.items()}
    built = profile_of({"wtpt": xyz_tag([0.9642, 1, 0.8249]), **tags, **{f"{c}TRC": curves for c in "rgb"}})
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path, icc_profile=pillow if profile == "of Pillow" else built)
    np.testing.assert_array_equal(read_picture(path), pixels)


def test_grey_is_converted_by_its_profile_too(tmp_path):
    greys = np.arange(0, 256, 15, dtype=np.uint8)[None]
    expected = encode((greys[0] / 255) ** 1.0)
    half = np.full_like(greys, 128)
    pictures = {
        "8 bits": Image.fromarray(greys),
        "16 bits": Image.fromarray(greys.astype(np.uint16) * 257),
        "alpha": Image.merge("LA", [Image.fromarray(greys), Image.fromarray(half)]),
    }
    for name, picture in pictures.items():
        path = tmp_path / f"{name}.png"
        picture.save(path, icc_profile=grey_profile(1.0))
        right = expected if name != "alpha" else (expected * 128 + 255 * 127) / 255
        np.testing.assert_allclose(read_picture(path)[0], np.stack([right] * 3, axis=1), atol=2, err_msg=name)


def test_grey_with_a_profile_of_rgb_is_converted(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("L", (3, 3), 128).save(path, icc_profile=rgb_profile("Adobe RGB", 1.0))
    np.testing.assert_allclose(read_picture(path), encode(128 / 255), atol=1)


def test_transparent_colours_are_converted_before_they_are_put_on_white(tmp_path):
    alpha = np.array([0, 255, 128, 255, 64, 255, 200], np.uint8)
    path = tmp_path / "picture.png"
    picture = Image.fromarray(np.dstack([COLOURS[None], alpha[None]]))
    picture.save(path, icc_profile=rgb_profile("ProPhoto", 1.8))
    share = alpha[:, None] / 255
    np.testing.assert_allclose(read_picture(path)[0], share * seen("ProPhoto") + (1 - share) * 255, atol=2)


def test_a_palette_is_converted(tmp_path):
    path = tmp_path / "picture.png"
    palette = Image.new("P", (len(COLOURS), 1))
    palette.putpalette(COLOURS.tobytes())
    palette.putdata(range(len(COLOURS)))
    palette.save(path, icc_profile=rgb_profile("Display P3", 2.2))
    np.testing.assert_allclose(read_picture(path)[0], seen("Display P3"), atol=2)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("profile", ["damaged", "other"])
def test_a_profile_that_cannot_be_used_is_told_and_ignored(tmp_path, caplog, mode, profile):
    path = tmp_path / "picture.tif"
    other = grey_profile(2.2) if mode != "L" else profile_of({"wtpt": xyz_tag([0.9642, 1, 0.8249])}, b"CMYK")
    plain = Image.new("RGB", (4, 4), (200, 100, 50)).convert(mode)
    plain.save(path, icc_profile=b"no profile" if profile == "damaged" else other)
    np.testing.assert_array_equal(read_picture(path), np.array(plain.convert("RGB")))
    assert caplog.messages == [f"{path}: its colour profile is damaged or does not fit, so it is read as sRGB."]


def test_lab_is_converted(tmp_path):
    path = tmp_path / "picture.tif"
    Image.new("LAB", (2, 2), (128, 128, 128)).save(path)  # L* = 50, grey: sRGB 119
    np.testing.assert_allclose(read_picture(path), 119, atol=1)


def png(depth, colour, pixels, transparent):
    """A PNG of two pixels with a transparent colour, which Pillow does not write for all depths."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    rows = zlib.compress(b"\0" + pixels)
    chunks = ((b"IHDR", head), (b"tRNS", transparent), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


GREY, RGB = 0, 2


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (png(1, GREY, b"\x40", struct.pack(">H", 1)), [0] * 3),
        (png(2, GREY, b"\x70", struct.pack(">H", 1)), [255] * 3),
        (png(2, GREY, b"\x60", struct.pack(">H", 1)), [170] * 3),
        (png(4, GREY, b"\x58", struct.pack(">H", 5)), [136] * 3),
        (png(8, GREY, b"\x55\x77", struct.pack(">H", 0x55)), [0x77] * 3),
        (png(16, GREY, b"\x55\x55\x80\x80", struct.pack(">H", 0x5555)), [0x80] * 3),
        (png(16, GREY, b"\x55\x55\x55\x56", struct.pack(">H", 0x5555)), [0x55] * 3),
        (png(8, RGB, bytes(range(6)), struct.pack(">HHH", 0, 1, 2)), [3, 4, 5]),
        (png(16, RGB, b"\x55\x55\x12\x34\x80\x00" + b"\x20" * 6, struct.pack(">HHH", 0x5555, 0x1234, 0x8000)),
         [0x20] * 3),
    ],
)  # fmt: skip
def test_the_transparent_colour_of_a_png_is_white_at_any_depth(tmp_path, data, kept):
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    expected = [[255] * 3, kept]
    if data[24] == 1:  # one bit: the second pixel is the transparent one
        expected.reverse()
    np.testing.assert_array_equal(read_picture(path)[0], expected)


@pytest.mark.parametrize(
    "suffix",
    [".png", ".jfif", ".gif", ".tiff", ".bmp", ".webp", ".avif", ".jp2", ".ppm", ".tga", ".pcx", ".dds", ".sgi",
     ".qoi", ".blp", ".mpo"],
)  # fmt: skip
def test_each_format_is_read_from_its_first_frame(tmp_path, suffix):
    y, x = np.mgrid[0:64, 0:48]
    pixels = np.stack([3 * y, 5 * x, y + x], axis=-1).astype(np.uint8)
    first, second = Image.fromarray(pixels), Image.new("RGB", (48, 64), "red")
    path = tmp_path / f"picture{suffix}"
    several = {"save_all": True, "append_images": [second]} if suffix in (".gif", ".tiff", ".webp") else {}
    kind = Image.registered_extensions()[suffix]
    (first.convert("P") if kind == "BLP" else first).save(path, kind, **several)
    assert suffix in suffixes()
    found = read_picture(path)
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels).mean() < (20 if kind == "BLP" else 6)


@pytest.mark.parametrize("kind", ["ICO", "ICNS"])
def test_an_icon_is_read_in_its_largest_size_on_white(tmp_path, kind):
    icon = Image.new("RGBA", (64, 64), (200, 60, 30, 255))
    icon.paste((0, 0, 0, 0), (0, 0, 64, 32))
    path = tmp_path / f"icon.{kind.lower()}"
    icon.save(path, kind)
    found = read_picture(path)
    assert path.suffix in suffixes()
    assert (found[0, 0].tolist(), found[-1, -1].tolist()) == ([255, 255, 255], [200, 60, 30])
    assert found.shape[0] >= 48


def test_a_large_picture_in_an_icon_is_refused(tmp_path):
    path, buffer = tmp_path / "icon.ico", io.BytesIO()
    Image.new("1", (2000, 2000)).save(buffer, "PNG")
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(buffer.getvalue()), 22)
    path.write_bytes(struct.pack("<HHH", 0, 1, 1) + entry + buffer.getvalue())
    with pytest.raises(UserError, match=r"icon\.ico: the picture has more than 3 megapixels, expected at"):
        read_picture(path, max_megapixels=1.5)


@pytest.mark.parametrize(("suffix", "kind"), [(".xbm", "XBM"), (".msp", "MSP"), (".pbm", "PPM"), (".pcx", "PCX")])
def test_black_and_white_formats_are_read(tmp_path, suffix, kind):
    picture = Image.new("1", (16, 16), 1)
    picture.paste(0, (0, 0, 8, 16))
    picture.save(tmp_path / f"x{suffix}", kind)
    assert suffix in suffixes()
    assert read_picture(tmp_path / f"x{suffix}")[0, [0, -1], 0].tolist() == [0, 255]


def test_documents_are_not_read_though_pillow_would_start_a_program_for_them(tmp_path):
    path = tmp_path / "picture.png"
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "EPS")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"picture\.png: cannot read this picture \(its format is unknown\); save a"):
        read_picture(path)
    assert not {".eps", ".ps", ".pdf", ".wmf", ".mpg", ".h5", ".fits"} & suffixes()


@pytest.mark.parametrize("values", [np.float32([[0.1, 0.9]]), np.int32([[7, 90000]])])
def test_numbers_without_a_known_range_are_refused(tmp_path, values):
    path = tmp_path / "picture.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(UserError, match=r"picture\.tif: cannot read this picture \(its numbers have 32 bits"):
        read_picture(path)


def test_a_large_picture_is_read_or_refused_in_a_plain_sentence(tmp_path):
    """A warning of Pillow is an error here."""
    path, limit = tmp_path / "large.png", Image.MAX_IMAGE_PIXELS
    Image.new("1", (14000, 14000)).save(path)  # Pillow refuses more than 179 megapixels
    with pytest.raises(UserError) as told:
        read_picture(path, max_megapixels=150.0)
    assert str(told.value) == (
        f"{path}: the picture has 196.0 megapixels, expected at most 150; make it smaller, or raise --max-megapixels "
        "if you have the memory."
    )
    Image.new("1", (10000, 10000)).save(path)  # it warns of more than 89
    assert read_picture(path).shape == (10000, 10000, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_any_damage_is_one_sentence(tmp_path):
    """Bytes changed at random in each format: read, or refused with the path."""
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "TGA", "PPM", "PCX", "DDS", "SGI", "ICO"):
        buffer = io.BytesIO()
        picture.save(buffer, kind, icc_profile=rgb_profile("Display P3", 2.2))
        for _ in range(40):
            data = bytearray(buffer.getvalue())
            for place in random.integers(0, len(data), 4):
                data[place] = random.integers(0, 256)
            path = tmp_path / "damaged"
            path.write_bytes(data[: random.integers(1, len(data) + 1)])
            try:
                assert read_picture(path, max_megapixels=1.0).dtype == np.uint8
            except UserError as told:
                assert str(told).startswith(f"{path}: ")  # noqa: PT017
                assert "\n" not in str(told)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "shown"),
    [("caf\udce9.png", r"caf\xe9.png"), ("two\nlines\x1b.png", r"two\nlines\x1b.png"), ("海 é.png", "海 é.png")],
)
def test_a_name_is_shown_on_one_line_in_utf8(name, shown):
    assert printable(name) == shown
