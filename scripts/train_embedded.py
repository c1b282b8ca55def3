"""Trains the embedded models from nothing and prints what they have learned.

python scripts/train_embedded.py                   # both, into src/das_ag/models/data; 41 minutes on two cores
python scripts/train_embedded.py --only judge --to /tmp/models
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from das_ag.models import embedded
from das_ag.training.assessment import assess
from das_ag.training.recipes import RECIPES
from das_ag.training.train import Progress, train


def main() -> None:
    """Trains, saves, loads what was saved, and measures that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(RECIPES), help="train this one alone")
    parser.add_argument("--to", type=Path, default=embedded.DATA, help="folder for the files")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    for role, recipe in RECIPES.items():
        if arguments.only in (None, role):
            started = time.monotonic()
            path = embedded.save(train(recipe, report, arguments.device), role, arguments.to)
            figures = assess(embedded.load_towers(role, arguments.to))
            print(f"{role}: {(time.monotonic() - started) / 60:.1f} min, {path.stat().st_size / 2**20:.2f} MiB, {path}")
            print("  " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)


def report(progress: Progress) -> None:
    """One line for every fiftieth update."""
    losses = ", ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
    print(f"update {progress.update}, {progress.minutes:.1f} min, radius {progress.radius:.2f}: {losses}", flush=True)


if __name__ == "__main__":
    main()
