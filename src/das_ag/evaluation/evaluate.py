"""Scores images, from a store or any folder, with predictors that did not guide them."""

from __future__ import annotations

import dataclasses
import logging
import math
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from das_ag.errors import UserError, first_line
from das_ag.models.contracts import Recogniser
from das_ag.models.registry import EvaluatorChoice
from das_ag.store.claims import Claims
from das_ag.store.samples import KEY_LENGTH, Record
from das_ag.store.store import Store

log = logging.getLogger(__name__)

PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp"])
_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
"""Pillow's errors for damaged files vary; `struct.error` comes from EXIF data."""


def evaluate(
    store: Store,
    evaluators: Mapping[str, EvaluatorChoice],
    device: torch.device,
    *,
    force: bool = False,
    only: Sequence[Record] | None = None,
    load: Callable[[EvaluatorChoice, torch.device], Any] = lambda choice, device: choice.load(device),
) -> list[str]:
    """Scores each finished image that has no valid score yet.

    A score is valid for one image and one evaluator: if the image, the weights or the options change, it is computed
    again. Returns a message for each unreadable image, and for each evaluator that has guided an image of the store.

    Args:
        force: whether to replace valid scores.
        only: the images to score; None for all in the store.
        load: loads the networks of an evaluator.
    """
    claims, unreadable = Claims.of(store), list[str]()
    for name, choice in evaluators.items():
        digest = choice.digest()
        details = {
            "title": choice.title, "version": choice.version(), "weights": choice.weights(), "remark": choice.remark,
        }  # fmt: skip
        records, damaged = store.records() if only is None else (only, [])
        try:
            guides = [record.sample.settings.get("weights", {}) for record in records]
            check_not_guide(name, choice, {digest for weights in guides for digest in weights.values()})
        except UserError as error:
            unreadable.append(str(error))
            continue
        evaluator, scored, found = None, 0, 0
        for record in tqdm(records, desc=choice.title, unit="image", disable=None):
            try:
                image = store.read_image(record.image)
            except UserError as error:
                unreadable.append(str(error))
                continue
            if not force and record.scores.get(name, {}).get("digest") == digest:
                found += 1
                claims.forget(_claim_name(record))  # a process may have died after it wrote the score
                continue
            evaluator = evaluator or load(choice, device)
            rated = float(evaluator.rate_images([image])[0])
            score = None if math.isnan(rated) else rated  # NaN: the evaluator has no rating, only recognition
            found_out = _recognise(evaluator, image, record.sample.positive)
            # Two processes with different evaluators may score the same image, and its scores share one file.
            with claims.claim(_claim_name(record), wait=True):
                store.write_score(record, name, score, digest, **details, **found_out)
            scored += 1
        unreadable += damaged
        if scored:
            log.info("%s: %d %s scored", choice.title, scored, "image" if scored == 1 else "images")
        elif only is None and found:
            log.info("%s: all %d images already have scores", choice.title, found)
    return list(dict.fromkeys(unreadable))


def _recognise(evaluator: object, image: UInt8[np.ndarray, "h w 3"], texts: Sequence[str]) -> dict[str, object]:
    """`recognised` and `rank`; empty if the evaluator cannot recognise images or does not know the texts' things."""
    recognition = evaluator.recognise(image, texts) if isinstance(evaluator, Recogniser) else None
    return dataclasses.asdict(recognition) if recognition else {}


def _claim_name(record: Record) -> str:
    return f"scores-{record.sample.key[:KEY_LENGTH]}"


def score_pictures(
    folder: Path, evaluators: Mapping[str, EvaluatorChoice], device: torch.device
) -> tuple[pd.DataFrame, list[str]]:
    """Scores the PNG, JPEG and WebP pictures of a folder and its subfolders.

    Returns:
        A table with one row for each picture, sorted by path: `image` (path relative to the folder) and a column for
        each evaluator; and a message for each picture that cannot be read.

    Raises:
        UserError: the folder does not exist, or has no pictures.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of pictures, found no folder; give another folder.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    if not paths:
        raise UserError(f"{folder}: expected PNG, JPEG or WebP pictures, found none; give another folder.")
    rows: dict[Path, dict[str, object]] = {}
    complaints: list[str] = []
    for name, choice in evaluators.items():
        evaluator = choice.load(device)
        for path in tqdm(paths, desc=choice.title, unit="image", disable=None):
            try:
                score = float(evaluator.rate_images([_read_picture(path)])[0])
            except _DAMAGED as error:
                complaints.append(f"{path}: cannot read this picture ({first_line(error)}); replace it.")
                continue
            rows.setdefault(path, {"image": path.relative_to(folder).as_posix()})[name] = score
    return pd.DataFrame(list(rows.values()), columns=["image", *evaluators]), list(dict.fromkeys(complaints))


def _read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Reads a picture as 8-bit RGB: applies the EXIF orientation, a white background and 16 to 8 bit conversion."""
    from PIL import ImageOps

    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.mode.startswith("I"):  # 16 bits; Pillow would clip at 255
            grey = np.asarray(upright, dtype=np.float64) / 257
            upright = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
        if upright.has_transparency_data:
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright.convert("RGBA"))
        return np.array(upright.convert("RGB"))


def check_not_guide(name: str, choice: EvaluatorChoice, guide_digests: Collection[str]) -> None:
    """Checks that an evaluator has not guided, unless its `may_guide` allows it; then its tables have a warning.

    Args:
        name: name of the evaluator.
        guide_digests: SHA-256 of the guide's files.

    Raises:
        UserError: the evaluator and the guide share weights.
    """
    if choice.may_guide:
        return
    if own := set(choice.weights().values()) & set(guide_digests):
        raise UserError(
            f"evaluator.{name}: the guide has the same weights ({min(own)[:12]}…), so it would score its own images; "
            f"choose another network with evaluator.{name}.name=."
        )
