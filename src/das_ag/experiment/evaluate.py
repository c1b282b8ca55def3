"""Scores the finished images with predictors that did not guide them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from tqdm import tqdm

from das_ag.errors import UserError
from das_ag.experiment.evaluators import EvaluatorChoice
from das_ag.experiment.store import Store

log = logging.getLogger(__name__)


def evaluate(store: Store, evaluators: Mapping[str, EvaluatorChoice], device: torch.device) -> list[str]:
    """Gives each finished image the scores that it does not have yet; returns a sentence for each that cannot be read.

    A score counts for one image and one set of weights: a changed image or evaluator is scored again.
    """
    unreadable: list[str] = []
    for name, choice in evaluators.items():
        digest = choice.digest()
        records, _ = store.records()
        evaluator, scored = None, 0
        for record in tqdm(records, desc=choice.title, unit="image", disable=None):
            try:
                image = store.read_image(record.image)
            except UserError as error:
                unreadable.append(str(error))
                continue
            if record.scores.get(name, {}).get("digest") == digest:
                continue
            evaluator = evaluator or choice.load(device)
            store.write_score(record, name, float(evaluator.rate_images([image])[0]), digest)
            scored += 1
        if scored:
            log.info("%s: %d images scored", choice.title, scored)
    return list(dict.fromkeys(unreadable))
