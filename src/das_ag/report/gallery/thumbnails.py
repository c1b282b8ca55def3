"""Makes thumbnails of the images, each once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from das_ag.store.atomic import check_inside, own_file
from das_ag.store.samples import Record
from das_ag.store.store import Store

SIDE_PX = 320
"""Largest side of a thumbnail; an image that is not larger needs none."""

FOLDER = "gallery"


@dataclass(frozen=True)
class Picture:
    """An image that can be shown; `thumbnail` is a path relative to the page, or empty."""

    width: int
    height: int
    thumbnail: str


def make_picture(root: Path, store: Store, record: Record) -> Picture:
    """Checks that the image is complete, and makes its thumbnail below `root` unless it exists.

    Raises:
        UserError: the image is missing or damaged.
        StoreError: the folder of thumbnails is a link out of `root`.
        OSError: the thumbnail cannot be written.
    """
    pixels = store.read_image(record.image)
    height, width = pixels.shape[:2]
    if max(height, width) <= SIDE_PX:
        return Picture(width, height, "")
    path = root / FOLDER / f"{record.image_sha256[:20]}.jpg"
    check_inside(root, path)
    if not path.is_file():  # the checksum in its name says that it is of this image
        path.parent.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(pixels)
        small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
        unfinished = own_file(root, path.with_name(f".unfinished-{path.name}"))
        # Full colour resolution: these pictures need it. Not with `optimize`, which fails for a very noisy picture.
        small.save(unfinished, format="JPEG", quality=88, subsampling=0)
        unfinished.replace(path)
    return Picture(width, height, f"{FOLDER}/{path.name}")


def remove_others(root: Path, shown: Collection[str]) -> None:
    """Removes thumbnails of images that are no longer shown."""
    check_inside(root, root / FOLDER / "any.jpg")
    for path in sorted((root / FOLDER).glob("*.jpg")):
        if f"{FOLDER}/{path.name}" not in shown:
            path.unlink(missing_ok=True)
