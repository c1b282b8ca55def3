"""Scores the images of a store with predictors that did not guide them."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from das_ag.errors import UserError
from das_ag.models.contracts import Recogniser
from das_ag.models.registry import EvaluatorChoice
from das_ag.store.claims import Claims
from das_ag.store.samples import KEY_LENGTH, Record
from das_ag.store.store import Store

log = logging.getLogger(__name__)


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
            "scale": list(choice.scale),
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
            texts = record.sample.positive
            rated = evaluator.rate_with_texts(image, texts) if choice.needs_texts else evaluator.rate_images([image])[0]
            score = None if math.isnan(rated) else float(rated)  # NaN: the evaluator has no rating, only recognition
            found_out = _recognise(evaluator, image, texts)
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
