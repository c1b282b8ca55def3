"""Copies pictures into a folder with their scores in front of their names, so that a file manager sorts them."""

from __future__ import annotations

import io
import itertools
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from PIL.PngImagePlugin import PngInfo, putchunk

from das_ag.errors import UserError, counted, printable

log = logging.getLogger(__name__)

_PNG = b"\x89PNG\r\n\x1a\n"
_HEAD = len(_PNG) + 25
"""Bytes of a PNG before the place of its texts: the signature and the chunk IHDR."""
_KEYWORD = 79
"""Longest keyword of a PNG's text."""


def prepare_folder(folder: Path) -> None:
    """Makes the folder for the copies.

    Raises:
        UserError: it has files already, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise UserError(f"--sort-to: cannot use {folder} ({error.strerror}); give another folder.") from error
    if not is_empty:
        raise UserError(f"--sort-to: expected a new or empty folder, got {folder} with files; give another folder.")


def copy_sorted(
    scored: Sequence[tuple[Path, Mapping[str, float]]], folder: Path, *, write_text: bool = False
) -> list[str]:
    """Copies pictures as 6.42_name.png, so that the order of the names is the order of the scores.

    Args:
        scored: path and scores of each picture, by evaluator; the first score decides.
        folder: an empty folder.
        write_text: whether to write all scores into the text of each copy that is a PNG.

    Returns:
        A message for each picture that cannot be copied.
    """
    first = [next(iter(scores.values())) for _, scores in scored]
    complaints, without_text = [], []
    for (path, scores), prefix in zip(scored, _prefixes(first), strict=True):
        try:
            with path.open("rb") as source, _new_file(folder, f"{prefix}_{path.name}") as target:
                if not _copy(source, target, scores if write_text else {}):
                    without_text.append(path.name)
        except OSError as error:
            complaints.append(f"{printable(path)}: cannot copy this picture to {folder} ({error.strerror}).")
    if write_text and without_text:
        number = counted(len(without_text), "copy has", "copies have")
        log.warning("%s no text, since only PNG files can; the first: %s", number, printable(without_text[0]))
    return complaints


def _prefixes(scores: Sequence[float]) -> list[str]:
    """Texts of the same order as the scores; NaN comes last. Where there are negative scores, the rank comes first."""
    known = sorted(score for score in scores if not math.isnan(score))
    width = max((len(f"{score:.2f}") for score in known), default=0)
    ranks = {score: f"{rank:0{len(str(len(known)))}}_" for rank, score in enumerate(dict.fromkeys(known), start=1)}
    has_negative = bool(known) and known[0] < 0
    return [
        "unscored" if math.isnan(score) else (ranks[score] if has_negative else "") + f"{score:0{width}.2f}"
        for score in scores
    ]


def _new_file(folder: Path, name: str) -> IO[bytes]:
    """Opens a file of this name, with a number if there is one of this name already."""
    path = folder / name
    for number in itertools.count(2):
        try:
            return path.open("xb")
        except FileExistsError:
            path = (folder / name).with_stem(f"{Path(name).stem}-{number}")
    raise AssertionError  # count has no end


def _copy(source: IO[bytes], target: IO[bytes], scores: Mapping[str, float]) -> bool:
    """Copies a file, a PNG with the scores as text; removes a half copy; returns whether the file is a PNG."""
    head = source.read(_HEAD)
    is_png = head.startswith(_PNG)
    try:
        target.write(head + (_text_chunks(scores) if is_png else b""))
        shutil.copyfileobj(source, target)
        target.flush()
    except OSError:
        Path(target.name).unlink()
        raise
    return is_png


def _text_chunks(scores: Mapping[str, float]) -> bytes:
    text, chunks = PngInfo(), io.BytesIO()
    for name, score in scores.items():
        text.add_itxt(f"Score {name}"[:_KEYWORD], f"{score:.3f}")
    for kind, data, *_ in text.chunks:
        putchunk(chunks, kind, data)
    return chunks.getvalue()
