"""Scores existing images, without generating any.

das-ag score outputs/wonders                            # a store: writes scores beside the images
das-ag score outputs/paper evaluator=aesthetic_v2_5,imagenet
das-ag score ~/pictures --csv scores.csv                 # any folder of pictures, with its subfolders
das-ag score picture.png ~/pictures ~/more               # pictures and folders
das-ag score ~/pictures --sort-to sorted                 # also copies such as sorted/6.42_name.png

Other arguments of the form name=value are overrides as for das-ag run. Separate several evaluators with commas.

The default evaluator, the ImageNet judge, rates photographic quality: about 7 for a clean photo, lower for a picture
with blur, noise or false colours. It does not rate beauty.
evaluator=aesthetic_v2_5 and evaluator=laion predict how much people like a picture. evaluator=clip_score compares
images of an experiment with their prompts.

Pictures are read as a person sees them: upright, first frame, colours by their profile, transparent parts on white. The
formats are PNG, JPEG, WebP, AVIF, GIF, TIFF, BMP and others that Pillow reads.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from das_ag.commands.arguments import command_parser, complain, divide
from das_ag.errors import UserError, counted, printable
from das_ag.evaluation.decode import MAX_MEGAPIXELS
from das_ag.evaluation.evaluate import evaluate
from das_ag.evaluation.pictures import ScoreFile, check_without_texts, score_pictures
from das_ag.evaluation.search import find_pictures
from das_ag.evaluation.sort import copy_sorted, prepare_folder
from das_ag.generation.machine import set_up
from das_ag.models.registry import EvaluatorChoice
from das_ag.settings.choices import choose_evaluators, choose_runtime
from das_ag.settings.configuration import compose_config
from das_ag.settings.runtime import choose_device
from das_ag.store.store import Store

CSV = "aesthetic_scores.csv"
Evaluators = Mapping[str, EvaluatorChoice]


def main(argv: Sequence[str]) -> int:
    """Scores stores or pictures; returns 1 if something cannot be scored, or a file of a store is damaged."""
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stores = check_arguments(arguments)
    config = compose_config([_several(override) for override in arguments.overrides])
    evaluators, runtime = choose_evaluators(config.evaluator), choose_runtime(config.runtime)
    device = choose_device(runtime.device)
    if not stores:
        check_without_texts(evaluators)
    for choice in evaluators.values():
        choice.check(device)
    set_up(runtime)
    if not stores:
        return complain(evaluate_pictures(arguments, evaluators, device))
    complaints: list[str] = []
    for store in stores:
        complaints += evaluate(store, evaluators, device, force=arguments.force)
        complaints += store.damage(store.records()[0])
    return complain(complaints)


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with `places` as paths and `overrides` as texts."""
    parser = command_parser("score", __doc__)
    parser.add_argument("places", nargs="*", metavar="place", help="an experiment, a folder of pictures or a picture")
    parser.add_argument(
        "overrides", nargs="*", metavar="name=value", help="for instance evaluator=aesthetic_v2_5 runtime.device=cpu"
    )
    parser.add_argument("--force", action="store_true", help="replace existing scores (only for an experiment)")
    parser.add_argument(
        "--csv", type=Path, help=f"file for the scores of pictures; default: {CSV} in the folder of "
        "pictures, or here for several folders; for pictures alone, none",
    )  # fmt: skip
    parser.add_argument(
        "--max-megapixels", type=float, default=MAX_MEGAPIXELS, metavar="N",
        help=f"leave out larger pictures, which need much memory; default {MAX_MEGAPIXELS:g}",
    )  # fmt: skip
    parser.add_argument(
        "--ignore-profiles", action="store_true",
        help="take the numbers in a file as sRGB, as the published program of Aesthetic Predictor v2.5 does",
    )  # fmt: skip
    parser.add_argument(
        "--sort-to", type=Path, metavar="DIR", help="a new folder for copies of the pictures with the score in front "
        "of the name; of several evaluators, the score of the first",
    )  # fmt: skip
    parser.add_argument("--write-text", action="store_true", help="also write the scores into the text of PNG copies")
    arguments = parser.parse_intermixed_args(argv)
    arguments.places, arguments.overrides = divide([*arguments.places, *arguments.overrides])
    return arguments


def check_arguments(arguments: argparse.Namespace) -> list[Store]:
    """Checks that the arguments fit each other, before hours of scoring; returns the experiments.

    Raises:
        UserError: they do not.
    """
    if not all(text.strip() for text in arguments.places) or not arguments.places:
        raise UserError("expected the name of a picture or folder, got none; write a name, or . for this folder.")
    places = arguments.places = [Path(text).expanduser() for text in arguments.places]
    stores = [Store(place) for place in places if Store.is_store(place)]
    if stores and len(stores) < len(places):
        raise UserError("expected experiments or pictures, got both; use a command for each.")
    if stores and arguments.csv:
        raise UserError(f"--csv: expected a folder of pictures, got the experiment {places[0]}; leave out --csv.")
    if not stores and arguments.force:
        raise UserError(
            f"--force: expected an experiment, got {printable(places[0])}. All pictures are scored anyway; leave out "
            "--force."
        )
    if stores and arguments.sort_to:
        raise UserError(f"--sort-to: expected pictures, got the experiment {places[0]}; leave out --sort-to.")
    if arguments.write_text and not arguments.sort_to:
        raise UserError("--write-text: expected --sort-to beside it, since only copies get a text; add --sort-to DIR.")
    if not 0 < arguments.max_megapixels < math.inf:
        raise UserError(f"--max-megapixels: expected a number above 0, got {arguments.max_megapixels}; try 200.")
    if arguments.csv and not arguments.csv.parent.is_dir():
        raise UserError(
            f"--csv: expected a file in an existing folder, got {arguments.csv}; create {arguments.csv.parent} first."
        )
    return stores


def evaluate_pictures(arguments: argparse.Namespace, evaluators: Evaluators, device: torch.device) -> list[str]:
    """Scores pictures, to a CSV or on the screen; returns a message for each that cannot be scored."""
    pictures, complaints = find_pictures(arguments.places)
    options = {"max_megapixels": arguments.max_megapixels, "use_profile": not arguments.ignore_profiles}
    path, folder = csv_path(arguments), arguments.sort_to
    if folder:
        prepare_folder(folder)
    with ScoreFile(path, list(evaluators)) if path else contextlib.nullcontext() as keep:
        scores, unreadable = score_pictures(pictures, evaluators, device, keep=keep, **options)
    if not path and len(scores):
        print(scores.to_string(index=False, float_format="%.3f"))
    number = f"{counted(len(scores), 'picture')} scored"
    print(f"{number}: {printable(path)}" if path else number)
    if folder:
        by_name = scores.set_index("image").to_dict("index")
        scored = [(path, by_name[name]) for name, path in pictures if name in by_name]
        complaints += copy_sorted(scored, folder, write_text=arguments.write_text)
        print(f"Copies sorted by {next(iter(evaluators.values())).title}: {printable(folder)}")
    for choice in evaluators.values():
        print(f"{choice.title}: {choice.meaning}".removesuffix(": "))
    return complaints + unreadable


def csv_path(arguments: argparse.Namespace) -> Path | None:
    """File of the scores of pictures; None for pictures alone, whose scores are printed."""
    places = arguments.places
    if arguments.csv or not any(place.is_dir() for place in places):
        return arguments.csv
    return (places[0] if len(places) == 1 else Path()) / CSV


def _several(override: str) -> str:
    """`evaluator=a,b` in Hydra's syntax for a list of choices."""
    name, _, value = override.partition("=")
    return f"evaluator=[{value}]" if name == "evaluator" and "," in value and not value.startswith("[") else override
