"""Scores the images of a store with predictors that did not guide them."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from das_ag.errors import UserError, counted
from das_ag.models.contracts import Recogniser
from das_ag.models.registry import EvaluatorChoice
from das_ag.store.claims import Claims
from das_ag.store.samples import KEY_LENGTH, Record, Sample
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
    bar: bool | None = None,
) -> list[str]:
    """Scores each finished image that has no valid score yet.

    A score is valid for one image and one evaluator: if the image, the weights or the options change, it is computed
    again. Returns a sentence for each damaged sample, for each damaged image without a score, and for each evaluator
    that has guided an image of the store.

    Args:
        force: whether to replace valid scores.
        only: the images to score; None for all in the store.
        load: loads the networks of an evaluator.
        bar: whether to show a progress bar; None: if stderr is a terminal.
    """
    complaints: list[str] = []
    for name, choice in evaluators.items():
        digest = choice.digest()
        records, damaged = store.records() if only is None else (only, [])
        try:
            guides = [record.sample.settings.get("weights", {}) for record in records]
            check_not_guide(name, choice, {digest for weights in guides for digest in weights.values()})
        except UserError as error:
            complaints.append(str(error))
            continue
        unscored = [record for record in records if force or record.scores.get(name, {}).get("digest") != digest]
        if unscored:
            complaints += _score(store, unscored, name, choice, functools.partial(load, choice, device), bar=bar)
        elif records and only is None:
            log.info("%s: all %s already scored", choice.title, counted(len(records), "image"))
        complaints += damaged
        claims = Claims.of(store)
        for record in records:  # a process may have died after it wrote the score
            claims.forget(_claim_name(record))
    return list(dict.fromkeys(complaints))


def _score(
    store: Store,
    records: Sequence[Record],
    name: str,
    choice: EvaluatorChoice,
    load: Callable[[], Any],
    *,
    bar: bool | None,
) -> list[str]:
    """Scores these images by one evaluator; returns a sentence for each damaged image."""
    details = {
        "title": choice.title, "version": choice.version(), "weights": choice.weights(), "remark": choice.remark,
        "scale": list(choice.scale),
    }  # fmt: skip
    digest = choice.digest()
    claims, evaluator, damaged = Claims.of(store), None, list[str]()
    for record in tqdm(records, desc=choice.title, unit="image", disable=None if bar is None else not bar):
        try:
            image = store.read_image(record.image)
        except UserError as error:
            damaged.append(str(error))
            continue
        evaluator = evaluator or load()
        texts = record.sample.positive
        rated = evaluator.rate_with_texts(image, texts) if choice.needs_texts else evaluator.rate_images([image])[0]
        score = None if math.isnan(rated) else float(rated)  # NaN: the evaluator has no rating, only recognition
        found_out = _recognise(evaluator, image, texts)
        # Two processes with different evaluators may score the same image, and its scores share one file.
        with claims.claim(_claim_name(record), wait=True):
            store.write_score(record, name, score, digest, **details, **found_out)
    if scored := len(records) - len(damaged):
        log.info("%s: %s scored", choice.title, counted(scored, "image"))
    return damaged


def _recognise(evaluator: object, image: UInt8[np.ndarray, "h w 3"], texts: Sequence[str]) -> dict[str, object]:
    """`recognised` and `rank`; empty if the evaluator cannot recognise images or does not know the texts' things."""
    recognition = evaluator.recognise(image, texts) if isinstance(evaluator, Recogniser) else None
    return dataclasses.asdict(recognition) if recognition else {}


def _claim_name(record: Record) -> str:
    return f"scores-{record.sample.key[:KEY_LENGTH]}"


def check_evaluators(evaluators: Mapping[str, EvaluatorChoice], samples: Sequence[Sample]) -> None:
    """Checks that the evaluators have their weights and may score these samples, before hours of work.

    Args:
        samples: of one guide.

    Raises:
        UserError: they cannot or may not.
    """
    for name, choice in evaluators.items():
        choice.digest()
        for sample in samples[:1]:
            check_not_guide(name, choice, sample.settings["weights"].values())


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
