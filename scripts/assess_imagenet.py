"""Measures the default guide and its judge; note/imagenet.md has the figures.

python scripts/assess_imagenet.py --photos FOLDER       # checks the weights; one photo for each class
python scripts/assess_imagenet.py --random 100 > random.txt     # texts for random classes with a fixed seed
python run.py -m method=das,das_ag,das_rag prompts=suite 'seeds=[3,4,5]' name=suite
python scripts/assess_imagenet.py outputs/suite         # recognised, quality, seeds
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from das_ag.errors import UserError, first_line
from das_ag.methods import method_of
from das_ag.models.classifier import Classifier
from das_ag.models.words import class_names
from das_ag.report import paired_differences, read_scores
from das_ag.store.store import Store
from das_ag.vector_math import choose_kernels

# Network, side of its central square crop, and top-1 in percent on the 1,000 photos of 240 px of the public
# repository EliSchwartz/imagenet-sample-images.
LOADING = (("tf_efficientnet_lite0", 224, 85.2), ("tf_efficientnet_lite2", 240, 87.5))
BATCH = 25
COMPOSITION_PX = 16
"""An image averaged to this many squares shows its composition, not its texture."""


def main() -> int:
    """Runs the requested assessment; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, nargs="?", help="folder of finished, scored samples")
    parser.add_argument("--photos", type=Path, help="folder with one photo for each class, in the order of the classes")
    parser.add_argument("--random", type=int, metavar="N", help="number of classes to draw")
    arguments = parser.parse_args()
    if arguments.store is None and arguments.photos is None and arguments.random is None:
        parser.error("expected a folder, --photos or --random, got none")
    choose_kernels()
    try:
        if arguments.photos:
            assess_loading(arguments.photos)
        if arguments.random is not None:
            print_random_texts(arguments.random)
        if arguments.store:
            assess_store(arguments.store)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def assess_loading(folder: Path) -> None:
    """Prints the accuracy of both networks. It checks the weights only: they may have seen these photos."""
    paths = sorted(folder.glob("*.jpg"))
    if len(paths) != len(class_names()):
        raise UserError(f"{folder}: expected {len(class_names())} JPEG photos, one for each class, got {len(paths)}.")
    for name, side_px, expected in LOADING:
        network, ranks = Classifier(name), list[int]()
        for first in range(0, len(paths), BATCH):
            squares = torch.stack([_middle(path, side_px) for path in paths[first : first + BATCH]])
            with torch.no_grad():
                logits = network.logits(network.features(squares))
            own = logits[torch.arange(len(logits)), torch.arange(first, first + len(logits))]
            ranks += (logits > own[:, None]).sum(dim=1).tolist()
        top_1, top_5 = (100 * np.mean([rank < top for rank in ranks]) for top in (1, 5))
        print(f"{name}, middle {side_px} px: top-1 {top_1:.1f} % (expected {expected} %), top-5 {top_5:.1f} %")


def _middle(path: Path, side_px: int) -> torch.Tensor:
    try:
        rgb = np.array(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot read this photo ({first_line(error)}); replace it.") from error
    if min(rgb.shape[:2]) < side_px:
        raise UserError(f"{path}: expected at least {side_px} × {side_px} px, got {rgb.shape[1]} × {rgb.shape[0]}.")
    top, left = ((side - side_px) // 2 for side in rgb.shape[:2])
    return torch.from_numpy(rgb[top : top + side_px, left : left + side_px]).permute(2, 0, 1)


def print_random_texts(count: int) -> None:
    """Prints a text for each of `count` classes, drawn with seed 0, for prompts=file."""
    if not 1 <= count <= len(class_names()):
        raise UserError(f"--random: expected from 1 to {len(class_names())}, got {count}; change it.")
    for index in sorted(random.Random(0).sample(range(len(class_names())), count)):
        print(f"a photo of {class_names()[index][0]}")


def assess_store(folder: Path) -> None:
    """Prints shares, paired differences and correlations of a store with the judge's scores."""
    scored = read_scores(folder, "imagenet")
    scores = scored.scores
    if "recognised" not in scores:
        raise UserError(f"{folder}: expected samples that the judge recognises or not, got none; use other prompts.")
    print(f"{'method':8} {'recognised':>22} {'quality':>8} {'correlation of seeds, median':>29}")
    for method, group in scores.groupby("method", sort=False):
        known = group["recognised"].dropna()
        share = f"{known.sum():.0f} of {len(known)} ({100 * known.mean():.1f} %)"
        correlation = statistics.median(_seed_correlations(scored.store, group) or [float("nan")])
        print(f"{_title(method):8} {share:>22} {group['aesthetic_score'].mean():8.2f} {correlation:29.2f}")
    for baseline in ("das", "das_rag"):
        for row in paired_differences(scores, baseline).itertuples(index=False):
            interval = f"95 % interval over prompts {row.low:+.2f} to {row.high:+.2f}, {row.n} pairs"
            print(f"{_title(row.method)} − {_title(baseline)}: quality {row.difference:+.2f}, {interval}")
    missed = scores[scores["recognised"] == 0]
    for method, group in missed.groupby("method", sort=False):
        counts = group["prompt_id"].value_counts()
        print(f"{_title(method)}, not recognised: " + ", ".join(f"{name} {n}×" for name, n in counts.items()))


def _title(method: object) -> str:
    return method_of(str(method)).title


def _seed_correlations(store: Store, group: pd.DataFrame) -> list[float]:
    """Correlation between each pair of seeds of a prompt."""
    found = []
    for _, of_prompt in group.groupby("prompt_id"):
        images = [_composition(store.read_image(Path(path))) for path in of_prompt["image"]]
        found += [float(np.corrcoef(a, b)[0, 1]) for a, b in itertools.combinations(images, 2)]
    return found


def _composition(image: np.ndarray) -> np.ndarray:
    """An image averaged to a few squares, without its mean."""
    size = (COMPOSITION_PX, COMPOSITION_PX)
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX), dtype=np.float64)
    return (small - small.mean()).ravel()


if __name__ == "__main__":
    sys.exit(main())
