"""The recipe in a PNG's text: everything that is needed to make the image again."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from das_ag.errors import UserError, first_line
from das_ag.settings.typed import build
from das_ag.store.command import command_of
from das_ag.store.files import parse_json
from das_ag.store.samples import Placement, Sample
from das_ag.store.schema import GROUP, PLACEMENT, check

RECIPE = "Recipe"
"""Keyword of the text for programs; the other texts are for people."""


@dataclass(frozen=True)
class Recipe:
    """A sample and its place in its batch."""

    sample: Sample
    placement: Placement


def text_of(recipe: Recipe) -> dict[str, str]:
    """Texts for a PNG, by keyword; equal recipes give equal texts."""
    sample = recipe.sample
    whole = {"sample": sample.identity(), "placement": dataclasses.asdict(recipe.placement)}
    return {
        **caption_of(sample),
        "Key": sample.key,
        "Command": command_of(sample),
        RECIPE: json.dumps(whole, ensure_ascii=False),
    }


def caption_of(sample: Sample) -> dict[str, str]:
    """Information for people about an image, finished or not, by keyword."""
    text = {
        "Software": "das-ag",
        "Prompt": "\n".join(sample.positive),
        "Negative prompt": "\n".join(sample.negative),
        "Method": sample.method,
        "Seed": str(sample.seed),
    }
    return {keyword: value for keyword, value in text.items() if value}


def read_recipe(path: Path) -> Recipe:
    """Reads the recipe in a PNG.

    Raises:
        UserError: the file cannot be read, or has no valid recipe.
    """
    try:
        with Image.open(path) as image:
            image.load()
            text = image.info.get(RECIPE)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot read an image ({first_line(error)}); choose another file.") from error
    if text is None:
        raise UserError(
            f"{path}: expected a PNG with a recipe, got one without. Use the file that das-ag wrote; copies saved by "
            "other programs may lack the recipe."
        )
    try:
        whole = parse_json(text, RECIPE)
        check(whole, {"sample": GROUP, "placement": GROUP})
        check(whole["placement"], PLACEMENT, where="placement")
        return Recipe(Sample.from_identity(whole["sample"]), build(Placement, whole["placement"], "placement"))
    except ValueError as error:  # UserError is one, too
        raise UserError(
            f"{path}: this version cannot read the recipe ({first_line(error)}); use the version of das-ag that made "
            "the image."
        ) from error
