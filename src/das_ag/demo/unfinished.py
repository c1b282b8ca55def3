"""Stopped images: stored beside the samples, never among them.

stopped/<key>-step<k>/ {image.png, trace.csv, sample.json}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from das_ag.generation.recipe import caption_of
from das_ag.store.files import encode_csv, encode_png, pretty, read_json
from das_ag.store.reading import reason
from das_ag.store.samples import IMAGE, KEY_LENGTH, SAMPLE, TRACE, Sample
from das_ag.store.schema import COUNT, GROUP, RESULT, RESULT_OPTIONAL, check
from das_ag.store.store import Store

FOLDER = "stopped"


@dataclass(frozen=True)
class Unfinished:
    """An image at the step where its ascent was stopped.

    Attributes:
        folder: relative to the store.
        sample: the sample that it would have become.
        step: number of steps taken, of `steps`.
        result: the guide's numbers at the last step: guide_aesthetic_score, clip_positive, clip_negative.
    """

    folder: Path
    sample: Sample
    step: int
    steps: int
    result: Mapping[str, float]

    @property
    def mark(self) -> str:
        """The label that distinguishes it from a finished image."""
        return f"Unfinished: step {self.step} of {self.steps}"


def keep_unfinished(
    store: Store, sample: Sample, image: UInt8[np.ndarray, "h w 3"], trace: Sequence[Mapping[str, float]], steps: int
) -> Unfinished:
    """Stores the current image.

    Args:
        trace: rows of the steps, with at least the last one.

    Raises:
        StoreError: the disk is full or cannot be written to.
    """
    last = trace[-1]
    step = int(last["step"]) + 1
    result = {
        **({"guide_aesthetic_score": 10 * last["aesthetic"]} if "aesthetic" in last else {}),
        "clip_positive": last["positive"],
        "clip_negative": last["negative"],
    }
    kept = Unfinished(Path(FOLDER, f"{sample.key[:KEY_LENGTH]}-step{step}"), sample, step, steps, result)
    folder = store.root / kept.folder
    store.folder.write(folder / IMAGE, encode_png(image, _text(kept)))
    store.folder.write(folder / TRACE, encode_csv(trace))
    entry = {"key": sample.key, "step": step, "steps": steps, "result": result, **sample.identity()}
    store.folder.write(folder / SAMPLE, pretty(entry).encode())  # last: a folder with this file is complete
    return kept


def read_unfinished(store: Store) -> tuple[list[Unfinished], list[str]]:
    """The stopped images, and a sentence for each damaged one."""
    found, damaged = [], []
    for path in sorted((store.root / FOLDER).glob(f"*/{SAMPLE}")):
        try:
            entry = read_json(path)
            sample = Sample.from_identity(entry)
            check(entry, {"step": COUNT, "steps": COUNT, "result": GROUP})
            check(entry["result"], RESULT, RESULT_OPTIONAL, "result")
            folder = path.parent.relative_to(store.root)
            found.append(Unfinished(folder, sample, entry["step"], entry["steps"], entry["result"]))
        except (OSError, ValueError) as error:
            damaged.append(f"{path}: left out, cannot read this stopped image ({reason(error)}); delete the folder.")
    return found, damaged


def _text(kept: Unfinished) -> dict[str, str]:
    """The text of the PNG, without a recipe: no command makes an image again that stops at this step."""
    return caption_of(kept.sample) | {"Unfinished": f"step {kept.step} of {kept.steps}"}
