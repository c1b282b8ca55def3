"""Reads picture files of any origin as a person sees them: upright, in sRGB, on white."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from das_ag.errors import UserError, first_line, printable

log = logging.getLogger(__name__)

_NO_PICTURES = frozenset(
    ["BUFR", "EPS", "FITS", "GRIB", "HDF5", "IMT", "IPTC", "MCIDAS", "MPEG", "SPIDER", "WMF", "XVTHUMB"]
)  # fmt: skip
"""Formats that Pillow opens too: documents, for which it starts other programs, data and films."""
MAX_MEGAPIXELS = 200.0
"""Default limit; 200 megapixels need about 3 GB of memory."""

_GREY_OR_SEPARATE = {"1": "L", "L": "L", "LA": "L", "CMYK": "CMYK", "LAB": "LAB"}
"""Modes whose colours are not RGB, with the mode of their colours alone."""
_SAMPLES = {"L;2": lambda value: value * 85, "L;4": lambda value: value * 17, "RGB;16B": lambda value: value >> 8}
"""How Pillow changes the numbers of a PNG, but not its transparent colour."""


def suffixes() -> frozenset[str]:
    """Endings of the names of the files that `read_picture` reads, in lower case."""
    readable = {*_formats(), "MPO"}  # which the reader of JPEG opens
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in readable)


def _formats() -> list[str]:
    """Formats that this build of Pillow and its plug-ins open, in Pillow's order."""
    Image.init()
    return [name for name in Image.ID if name in Image.OPEN and name not in _NO_PICTURES]


def read_picture(
    path: Path, *, max_megapixels: float = MAX_MEGAPIXELS, use_profile: bool = True
) -> UInt8[np.ndarray, "h w 3"]:
    """Reads the first frame of a picture as sRGB: turned as its EXIF says, 16 bits as 8, transparent parts on white.

    Args:
        max_megapixels: larger pictures are an error.
        use_profile: whether to convert colours by the ICC profile. False: numbers stay as they are in the file.

    Raises:
        UserError: the file cannot be read, or the picture is too large.
    """
    try:
        with _limit_of_pillow(max_megapixels), Image.open(path, formats=_formats()) as image:
            megapixels = image.width * image.height / 1e6
            found = f"{megapixels:.1f}"
            if megapixels <= max_megapixels:
                return np.array(_to_rgb(image, printable(path), use_profile))
    except Image.DecompressionBombError:
        found = f"more than {2 * max_megapixels:g}"
    except Exception as error:  # Pillow's errors for damaged files are of any type
        remedy = "save a copy as PNG or JPEG" if isinstance(error, UnidentifiedImageError) else "replace it"
        raise UserError(f"{printable(path)}: cannot read this picture ({_reason(error)}); {remedy}.") from error
    raise UserError(
        f"{printable(path)}: the picture has {found} megapixels, expected at most {max_megapixels:g}; make it "
        "smaller, or raise --max-megapixels if you have the memory."
    )


@contextlib.contextmanager
def _limit_of_pillow(max_megapixels: float) -> Iterator[None]:
    """Pillow's own limit, without its warnings: it refuses twice as many, also in a picture inside, as icons have."""
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.MAX_IMAGE_PIXELS = math.ceil(max_megapixels * 1e6)
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its message is the path
        return "its format is unknown"
    return "not enough memory" if isinstance(error, MemoryError) else first_line(error)


def pixels_of(image: Path | str | Image.Image | np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a file, of Pillow's image, both as `read_picture` gives them, or of an array.

    Args:
        image: an array has the shape (h, w, 3), and RGB values of uint8, or floats in 0…1, which are rounded.

    Raises:
        UserError: the file cannot be read, or the image or array has another form.
    """
    if isinstance(image, Path | str):
        return read_picture(Path(image).expanduser())
    if isinstance(image, Image.Image):
        try:
            return np.array(_to_rgb(image.copy(), "image", use_profile=True))  # the user's image stays as it is
        except Exception as error:  # as in `read_picture`
            raise UserError(f"image: cannot read this picture ({_reason(error)}); convert it to RGB.") from error
    return _checked(np.asarray(image))


def _checked(array: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """The array as uint8."""
    expected = "image: expected an array (height, width, 3) of uint8, or of floats in 0…1, got"
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape or array.dtype.kind not in "fu":
        raise UserError(f"{expected} {array.dtype} {array.shape}; convert it.")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "u" or not (array.min() >= 0 and array.max() <= 1):
        raise UserError(f"{expected} {array.dtype} from {array.min():g} to {array.max():g}; scale it.")
    return np.rint(array * 255).astype(np.uint8)


def _to_rgb(image: Image.Image, name: str, use_profile: bool) -> Image.Image:
    """RGB, of an opened file.

    Args:
        name: of the picture, for a message.
    """
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError("its numbers have 32 bits, and no known range")
    profile = image.info.get("icc_profile") if use_profile else None
    _correct_transparent_colour(image)
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        image = _to_eight_bits(image)
    mode = _GREY_OR_SEPARATE.get(image.mode, "RGB")
    if not image.has_transparency_data:
        return _to_srgb(_convert(image, mode), profile, name)
    with_alpha = _convert(image, "RGBA")
    colours = _to_srgb(_convert(with_alpha, mode), profile, name)
    colours.putalpha(with_alpha.getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """In another mode; no copy if it has this mode, since large pictures need the memory."""
    return image if image.mode == mode else image.convert(mode)


def _correct_transparent_colour(image: Image.Image) -> None:
    """Scales the transparent colour of a PNG to the numbers of the pixels, which Pillow forgets for some depths."""
    found = image.info.get("transparency")
    tile = getattr(image, "tile", None)
    scale = _SAMPLES.get(str(tile[0].args)) if tile and image.format == "PNG" else None
    if scale and found is not None:
        image.info["transparency"] = tuple(map(scale, found)) if isinstance(found, tuple) else scale(found)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits to 8 bits, which Pillow would clip at 255; with alpha if a grey is transparent."""
    numbers = np.asarray(image).astype(np.int32)
    grey = Image.fromarray(((numbers + 128) // 257).clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(numbers == transparent, 0, 255).astype(np.uint8)))
    return grey


def _to_srgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """Converts colours to sRGB by their ICC profile; without a profile, they are sRGB already.

    Args:
        image: of mode RGB, L, CMYK or LAB.
        name: of the picture, for a message.
    """
    if image.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        except OSError:
            return _without_profile(image, name)
    else:
        return _convert(image, "RGB")
    if image.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
        image = image.convert("RGB")
    try:
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
    except ImageCms.PyCMSError:
        return _without_profile(image, name)
    return image if _keeps_colours(transform, image.mode) else _apply(transform, image)


def _without_profile(image: Image.Image, name: str) -> Image.Image:
    log.warning("%s: its colour profile is damaged or does not fit, so it is read as sRGB.", name)
    return _convert(image, "RGB")


def _keeps_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile is sRGB in other words: the conversion then only rounds, and the numbers should stay."""
    if mode != "RGB":
        return False
    steps = np.linspace(0, 255, 18).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3)
    converted = np.asarray(_apply(transform, Image.fromarray(cube)))
    return int(np.abs(converted.astype(int) - cube).max()) <= 1


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only if it changes the image in place
    return converted
