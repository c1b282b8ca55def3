"""Scores finished images, and any folder of pictures, with predictors that did not guide them."""

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
from das_ag.models.registry import EvaluatorChoice
from das_ag.store.claims import Claims
from das_ag.store.samples import KEY_LENGTH, Record
from das_ag.store.store import Store

log = logging.getLogger(__name__)

PICTURES = frozenset([".png", ".jpg", ".jpeg", ".webp"])
_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
"""Pillow has many words for a damaged file; `struct.error` stands for EXIF."""


def evaluate(
    store: Store,
    evaluators: Mapping[str, EvaluatorChoice],
    device: torch.device,
    *,
    force: bool = False,
    only: Sequence[Record] | None = None,
    load: Callable[[EvaluatorChoice, torch.device], Any] = lambda choice, device: choice.load(device),
) -> list[str]:
    """Gives each finished image the scores that it does not have yet.

    Returns a sentence for each image that cannot be read, and for each evaluator that refuses the store.

    A score counts for one image and one evaluator: a changed image, other weights or options are scored again.

    Args:
        force: score again what has a score.
        only: the images that it is about; None for all in the store.
        load: gives the networks of an evaluator.
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
                claims.forget(_claim_name(record))  # of a process that died between the score and the end of its claim
                continue
            evaluator = evaluator or load(choice, device)
            rated = float(evaluator.rate_images([image])[0])
            score = None if math.isnan(rated) else rated  # of an evaluator that only recognises
            found_out = _recognise(evaluator, image, record.sample.positive)
            # Two processes with an evaluator each may be at the same image, whose scores stand in one file.
            with claims.claim(_claim_name(record), wait=True):
                store.write_score(record, name, score, digest, **details, **found_out)
            scored += 1
        unreadable += damaged
        if scored:
            log.info("%s: %d %s scored", choice.title, scored, "image" if scored == 1 else "images")
        elif only is None and found:
            log.info("%s: all %d images have their scores", choice.title, found)
    return list(dict.fromkeys(unreadable))


def _recognise(evaluator: Any, image: UInt8[np.ndarray, "h w 3"], texts: Sequence[str]) -> dict[str, object]:
    """`recognised` and `rank`, of an evaluator that can tell and texts whose things it knows."""
    recognition = evaluator.recognise(image, texts) if hasattr(evaluator, "recognise") else None
    return dataclasses.asdict(recognition) if recognition else {}


def _claim_name(record: Record) -> str:
    return f"scores-{record.sample.key[:KEY_LENGTH]}"


def score_pictures(
    folder: Path, evaluators: Mapping[str, EvaluatorChoice], device: torch.device
) -> tuple[pd.DataFrame, list[str]]:
    """Scores the pictures of any folder and of its sub-folders: PNG, JPEG and WebP.

    Returns:
        One row for each picture, in the order of their names: `image` (path relative to the folder) and a column for
        each evaluator; and a sentence for each picture that cannot be read.

    Raises:
        UserError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of pictures, found none; give another.")
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
                complaints.append(f"{path}: expected a picture, could not read it ({first_line(error)}); replace it.")
                continue
            rows.setdefault(path, {"image": path.relative_to(folder).as_posix()})[name] = score
    return pd.DataFrame(list(rows.values()), columns=["image", *evaluators]), list(dict.fromkeys(complaints))


def _read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB as a person sees it: turned as its EXIF says, transparent parts on white, 16 bits as 8."""
    from PIL import ImageOps

    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if upright.mode.startswith("I"):  # which Pillow would clip at 255
            grey = np.asarray(upright, dtype=np.float64) / 257
            upright = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
        if upright.has_transparency_data:
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright.convert("RGBA"))
        return np.array(upright.convert("RGB"))


def check_not_guide(name: str, choice: EvaluatorChoice, guide_digests: Collection[str]) -> None:
    """Sees that an evaluator has not guided; one that may, has its tables say so.

    Args:
        name: of the evaluator.
        guide_digests: SHA-256 of the guide's files.

    Raises:
        UserError: it has.
    """
    if choice.may_guide:
        return
    if own := set(choice.weights().values()) & set(guide_digests):
        raise UserError(
            f"evaluator.{name}: expected other weights than the guide's, got the same ({min(own)[:12]}…), which would "
            f"judge their own images; choose another network with evaluator.{name}.name=."
        )
