"""Scores existing images, without generating any.

python scripts/evaluate.py outputs/wonders                            # a store: writes scores beside the images
python scripts/evaluate.py outputs/paper evaluator=aesthetic_v2_5,imagenet
python scripts/evaluate.py ~/pictures --csv scores.csv                 # any folder of PNG, JPEG and WebP

Arguments after the folder are overrides as for run.py. Separate several evaluators with commas.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from das_ag.errors import UserError
from das_ag.settings import environment

environment.prepare()

from das_ag.evaluation.evaluate import evaluate, score_pictures
from das_ag.generation.machine import set_up
from das_ag.settings.choices import choose_evaluators, choose_runtime
from das_ag.settings.configuration import compose_config
from das_ag.settings.runtime import choose_device
from das_ag.store.store import Store


def main() -> int:
    """Scores a store or a folder; returns 1 if a picture could not be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of an experiment or of pictures")
    parser.add_argument(
        "overrides", nargs="*", help="overrides, for instance evaluator=aesthetic_v2_5 runtime.device=cpu"
    )
    parser.add_argument("--force", action="store_true", help="replace existing scores (only for an experiment)")
    parser.add_argument(
        "--csv", type=Path, help="file for the scores of a folder of pictures; default: aesthetic_scores.csv in it"
    )
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        is_store = Store.is_store(arguments.folder)
        check_arguments(arguments, is_store=is_store)
        config = compose_config([_several(override) for override in arguments.overrides])
        evaluators, runtime = choose_evaluators(config.evaluator), choose_runtime(config.runtime)
        device = choose_device(runtime.device)
        for choice in evaluators.values():
            choice.check(device)
        set_up(runtime)
        if is_store:
            complaints = evaluate(Store(arguments.folder), evaluators, device, force=arguments.force)
        else:
            scores, complaints = score_pictures(arguments.folder, evaluators, device)
            path = csv_path(arguments)
            scores.to_csv(path, index=False)
            print(f"{len(scores)} pictures scored: {path}")
    except (UserError, OSError) as error:
        complaints = [f"Error: {error}"]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def csv_path(arguments: argparse.Namespace) -> Path:
    """Path of the scores of a folder of pictures."""
    return arguments.csv or arguments.folder / "aesthetic_scores.csv"


def check_arguments(arguments: argparse.Namespace, *, is_store: bool) -> None:
    """Checks that the arguments fit the folder, before hours of scoring.

    Raises:
        UserError: they do not.
    """
    folder = arguments.folder
    if is_store:
        if arguments.csv:
            raise UserError(f"--csv: expected a folder of pictures, got the experiment {folder}; leave out --csv.")
        return
    if arguments.force:
        raise UserError(
            f"--force: expected an experiment, got the folder {folder}. All its pictures are scored anyway; leave out "
            "--force."
        )
    parent = csv_path(arguments).parent
    if folder.is_dir() and not parent.is_dir():
        raise UserError(f"--csv: expected a file in an existing folder, got {arguments.csv}; create {parent} first.")


def _several(override: str) -> str:
    """`evaluator=a,b` in Hydra's syntax for a list of choices."""
    name, _, value = override.partition("=")
    return f"evaluator=[{value}]" if name == "evaluator" and "," in value and not value.startswith("[") else override


if __name__ == "__main__":
    sys.exit(main())
