"""Makes thumbnails of the images, each once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from das_ag.store.atomic import check_inside, own_file
from das_ag.store.samples import Record
from das_ag.store.store import Store

SIDE_PX = 200
"""Largest side of a thumbnail; an image that is not larger is its own thumbnail."""

FOLDER = "gallery"


@dataclass(frozen=True)
class Picture:
    """An image that can be shown; `thumbnail` is a path relative to the store."""

    width: int
    height: int
    thumbnail: str


def make_picture(store: Store, record: Record) -> Picture:
    """Checks that the image is complete, and makes its thumbnail unless a newer one exists.

    Raises:
        UserError: the image is missing or damaged.
        StoreError: the folder of thumbnails is a link out of the store.
        OSError: the thumbnail cannot be written.
    """
    pixels = store.read_image(record.image)
    height, width = pixels.shape[:2]
    if max(height, width) <= SIDE_PX:
        return Picture(width, height, record.image.as_posix())
    path = store.root / FOLDER / f"{record.sample.key[:20]}.jpg"
    check_inside(store.root, path)
    if not _is_newer(path, store.root / record.image):
        path.parent.mkdir(exist_ok=True)
        small = Image.fromarray(pixels)
        small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
        unfinished = own_file(store.root, path.with_name(f".unfinished-{path.name}"))
        # Full colour resolution: these pictures need it.
        small.save(unfinished, format="JPEG", quality=88, subsampling=0, optimize=True)
        unfinished.replace(path)
    return Picture(width, height, f"{FOLDER}/{path.name}")


def remove_others(store: Store, shown: Collection[str]) -> None:
    """Removes thumbnails of images that are no longer shown."""
    check_inside(store.root, store.root / FOLDER / "any.jpg")
    for path in sorted((store.root / FOLDER).glob("*.jpg")):
        if f"{FOLDER}/{path.name}" not in shown:
            path.unlink(missing_ok=True)


def _is_newer(path: Path, than: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0 and path.stat().st_mtime >= than.stat().st_mtime
