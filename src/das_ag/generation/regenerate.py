"""Makes a sample again from its recipe, for comparison with the stored sample."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from das_ag.errors import UserError
from das_ag.generation.batch import Watch, optimise
from das_ag.generation.cost import Cost, cost_of
from das_ag.generation.guide import guide_of
from das_ag.generation.machine import provenance, set_up
from das_ag.generation.recipe import RECIPE, Recipe, text_of
from das_ag.models.registry import GuideChoice
from das_ag.settings.choices import choose_guide
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import Plan, make_plan
from das_ag.settings.runtime import choose_device
from das_ag.store.command import overrides_of
from das_ag.store.files import encode_csv, encode_png
from das_ag.store.reading import DAMAGED, read_trace
from das_ag.store.samples import Sample, check_family, differing, without_weight


@dataclass(frozen=True)
class Regenerated:
    """A sample that was made again.

    Attributes:
        image: RGB.
        png, trace: bytes of the files, as in a store.
        text: texts in the PNG, by keyword.
        provenance: where and how it was made.
    """

    image: UInt8[np.ndarray, "h w 3"]
    png: bytes
    trace: bytes
    text: Mapping[str, str]
    provenance: Mapping[str, Any]

    def is_in(self, stored: bytes) -> bool:
        """Whether a PNG has this image and this recipe; the texts for people may differ between versions."""
        if stored == self.png:
            return True
        with Image.open(io.BytesIO(stored)) as image:
            image.load()
            text = {str(keyword): value for keyword, value in image.info.items() if isinstance(value, str)}
        return text.get(RECIPE) == self.text[RECIPE] and encode_png(self.image, text) == stored


def regenerate(
    recipe: Recipe,
    overrides: Sequence[str] = (),
    *,
    allow: Callable[[str, Cost], None] = lambda *_: None,
    watch: Watch | None = None,
) -> Regenerated:
    """Makes a sample again, in the same row of a batch of the same size; copies of the sample fill the other rows.

    Args:
        overrides: overrides of settings that are not in the recipe: runtime.device, paths of weights.
        allow: gets the sample's name and the cost before the networks are loaded; raises UserError to refuse.
        watch: called after each step.

    Raises:
        UserError: this version or these weights cannot make the sample, or it fails again.
    """
    plan = plan_of(recipe, overrides)
    allow(recipe.sample.name, cost_of(plan, recipe.placement))
    set_up(plan.runtime)
    device, (sample,) = choose_device(plan.runtime.device), plan.samples
    guide = guide_of(plan, plan.samples, device)
    rows, _ = optimise([sample] * recipe.placement.samples_per_batch, plan, guide, device, watch=watch)
    made = rows[recipe.placement.row]
    if made.error:
        raise UserError(f"{sample.name}: {made.error}")
    text = text_of(recipe)
    # Overrides may have changed these two.
    placement = dataclasses.replace(
        recipe.placement, views_per_pass=plan.runtime.views_per_pass, threads=plan.runtime.cpu_threads
    )
    return Regenerated(
        image=made.image,
        png=encode_png(made.image, text),
        trace=encode_csv(made.trace),
        text=text,
        provenance={**provenance(device), **dataclasses.asdict(placement)},
    )


def plan_of(recipe: Recipe, overrides: Sequence[str] = ()) -> Plan:
    """A plan with only this sample.

    Raises:
        UserError: the settings do not fit this version, or the weights here are not those of the sample.
    """
    placement = dataclasses.asdict(recipe.placement)
    row = placement.pop("row")
    if not 0 <= row < recipe.placement.samples_per_batch:
        raise UserError(
            f"{recipe.sample.name}: expected a row from 0 to {recipe.placement.samples_per_batch - 1}, got {row}; use "
            "an unmodified recipe."
        )
    check_family(recipe.sample)
    runtime = [f"runtime.{name}={value}" for name, value in placement.items()]
    config = compose_config([*overrides_of(recipe.sample), *runtime, *overrides])
    _check_files(recipe.sample, choose_guide(config.models))
    plan = make_plan(config)
    if len(plan.samples) != 1:
        raise UserError(
            f"{recipe.sample.name}: expected one sample, the one of the recipe, got {len(plan.samples)} with "
            f"{' '.join(overrides)}; leave out the overrides of seeds, prompts and shards."
        )
    (sample,) = plan.samples
    asked = dataclasses.replace(recipe.sample, settings=without_weight(recipe.sample.settings))
    if sample.key != asked.key:
        raise UserError(
            f"{recipe.sample.name}: expected key {asked.key[:12]}, got {sample.key[:12]} "
            f"({', '.join(_differences(asked, sample))}); use the version and the weights that made the sample."
        )
    return plan


def _check_files(sample: Sample, guide: GuideChoice) -> None:
    """Checks that a recipe names no files of this machine; only the user and the environment may name weights."""
    if named := [place for place in guide.places if place in sample.settings["guide"]]:
        raise UserError(
            f"{sample.name}: expected a recipe without files, got models.{named[0]}; use an unmodified recipe."
        )


def _differences(asked: Sample, got: Sample) -> list[str]:
    found = differing(asked.identity(), got.identity())
    return [f"{name} {_short(ours)} instead of {_short(theirs)}" for name, (theirs, ours) in found.items()]


def _short(value: object) -> str:
    return text if len(text := str(value)) <= 20 else f"{text[:16]}…"


def describe_difference(before: UInt8[np.ndarray, "_ _ 3"], after: UInt8[np.ndarray, "_ _ 3"]) -> str:
    """Describes how two images with different files differ."""
    if before.shape != after.shape:
        sizes = [f"{width} × {height} px" for height, width, _ in (after.shape, before.shape)]
        return " instead of ".join(sizes)
    if difference := largest_difference(before, after):
        return f"largest pixel difference {difference} of 255, PSNR {psnr_db(before, after):.1f} dB"
    return "same pixels, different bytes in the file"


def describe_trace_difference(before: bytes, after: bytes) -> str:
    """Describes how two traces with different bytes differ; empty if a file is no trace or the numbers are equal."""
    try:
        first, second = (read_trace(io.BytesIO(trace)).to_numpy() for trace in (before, after))
    except DAMAGED:
        return ""
    if first.shape != second.shape:
        return f"{len(second)} steps instead of {len(first)}" if len(first) != len(second) else "different columns"
    apart = np.nan_to_num(np.abs(first - second))
    if not apart.any():
        return ""
    return f"from step {int(second[apart.any(axis=1)][0, 0])} on, by at most {apart.max():.1e}"


def largest_difference(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> int:
    """Largest absolute difference of a channel of a pixel, 0…255."""
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def psnr_db(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> float:
    """Peak signal-to-noise ratio, 10 log₁₀(255² / mean squared difference); infinite for equal images."""
    squared = float(np.mean((first.astype(float) - second.astype(float)) ** 2))
    return 10 * math.log10(255**2 / squared) if squared else math.inf
