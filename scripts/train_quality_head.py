"""Trains the quality heads of the package, and prints how well they rate photos that they have not seen.

python scripts/train_quality_head.py --photos FOLDER     # both, into the package; about eight minutes
python scripts/train_quality_head.py --photos FOLDER --network resnet50.a1_in1k --to resnet50.safetensors
python scripts/train_quality_head.py --picture versions.png     # no training: the shipped heads rate one scene

Everything runs in one CPU thread, so the same photos and seed give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from das_ag.errors import UserError
from das_ag.models.classifier import Classifier, check_name, weights_file
from das_ag.models.quality import QualityHead, save_head, shipped_file
from das_ag.training import quality
from das_ag.training.distortions import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES: dict[str, quality.Role] = {"tf_efficientnet_lite0": "guide", "tf_efficientnet_lite2": "judge"}
"""The networks whose heads the package ships, and their roles."""
SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Severities of the versions in the picture."""
COLOURS: dict[quality.Role, str] = {"guide": "#0060a8", "judge": "#c04a00"}


def main() -> int:
    """Trains or draws; prints the reason if it cannot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--photos", type=Path, metavar="FOLDER", help="about 1,000 good photos of different things")
    task.add_argument("--picture", type=Path, metavar="FILE", help="draw the ratings of one scene by the shipped heads")
    parser.add_argument("--network", help=f"name in timm; default: {' and '.join(ROLES)}, one after the other")
    parser.add_argument("--checkpoint", metavar="FILE", help="weights of --network; default: its package, or the hub")
    parser.add_argument(
        "--role", choices=get_args(quality.Role), help="which photos train the head; default: guide for a new network"
    )
    parser.add_argument("--to", type=Path, metavar="FILE", help="file of the head; default: its place in the package")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and the distortions; default 0")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        if arguments.picture:
            draw_versions().savefig(arguments.picture)
        else:
            train(arguments)
    except (UserError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def train(arguments: argparse.Namespace) -> None:
    """Trains the head of each requested network. Checks all arguments before the long part."""
    names = [arguments.network] if arguments.network else list(ROLES)
    if arguments.to and len(names) > 1:
        raise UserError("--to: one file cannot hold the heads of two networks; add --network.")
    if arguments.checkpoint and not (arguments.network and arguments.to):
        raise UserError("--checkpoint: this option needs --network NAME and --to FILE; add them.")
    if arguments.seed < 0:
        raise UserError(f"--seed: expected 0 or more, found {arguments.seed}; give another number.")
    for name in names:
        check_name(name)
        check_writable(arguments.to or shipped_file(name))
    photos = quality.read_photos(arguments.photos)
    for name in names:
        weights_file(name, arguments.checkpoint)
    for name in names:
        role = arguments.role or ROLES.get(name, "guide")
        network = Classifier(name, arguments.checkpoint)
        train_one(network, photos, role, arguments.seed, arguments.to or shipped_file(name))


def check_writable(path: Path) -> None:
    """Checks that the file can be written, without changing an existing one.

    Raises:
        UserError: it cannot.
    """
    if path.is_dir():
        raise UserError(f"--to: expected a file, found the folder {path}; add a file name.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.with_name(f"{path.name}.trial")
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise UserError(f"--to: cannot write {path} ({error.strerror}); give another file.") from error


def train_one(network: Classifier, photos: list[quality.Photo], role: quality.Role, seed: int, to: Path) -> None:
    """Trains, saves and reports one head."""
    started = time.monotonic()
    name, size_px = network.name, network.image_size_px
    head, figures, n_photos = quality.train_head(photos, network.features, size_px, role=role, seed=seed)
    about = {
        "network": name,
        "network_digest": network.digest,
        "role": role,
        "photos": n_photos,
        "kinds": list(KINDS),
        "ridge": head.ridge,
        "seed": seed,
    }
    save_head(to, head.weight, head.bias, about)
    seconds = time.monotonic() - started
    print(f"{name} ({role}, {size_px} px): {n_photos} photos, ridge {head.ridge:g}, {seconds:.0f} s, {to}")
    print(
        f"{'held-out photos':16} {'rank correlation ↑':>18} {'n':>5}   AUC ↑, clean against severity > {quality.STRONG}"
    )
    for kind, f in figures.items():
        print(f"{kind:16} {f.correlation:18.3f} {f.n:5}   {f.auc:.3f} ({f.n_clean} against {f.n_strong})")
    print(flush=True)


def draw_versions() -> Figure:
    """Draws a public-domain portrait with all kinds of distortion, and the ratings of both shipped heads.

    Source: Rear Admiral Grace Hopper, US Navy, as matplotlib ships it.
    """
    from matplotlib.figure import Figure

    versions = make_versions()
    ratings = {role: rate(name, versions) for name, role in ROLES.items()}
    figure = Figure(figsize=(9.0, 16.2), dpi=110)
    heights = [1, 0.01] + [1] * len(KINDS)  # the second row is a gap
    place: dict[str, Any] = {
        "nrows": len(heights),
        "height_ratios": heights,
        "bottom": 0.035,
        "top": 0.99,
        "hspace": 0.24,
    }
    pictures = figure.add_gridspec(ncols=len(SEVERITIES) - 1, left=0.04, right=0.66, wspace=0.06, **place)
    charts = figure.add_gridspec(ncols=1, left=0.74, right=0.985, **place)
    undistorted = figure.add_subplot(pictures[0, 0])
    show_picture(undistorted, versions[0, 0], [ratings[role][0, 0] for role in COLOURS])
    undistorted.set_ylabel("undistorted", fontsize=11)
    explain(figure.add_subplot(pictures[0, 1:]))
    for row, kind in enumerate(KINDS):
        for column in range(1, len(SEVERITIES)):
            axes = figure.add_subplot(pictures[row + 2, column - 1])
            show_picture(axes, versions[row, column], [ratings[role][row, column] for role in COLOURS])
            axes.set_title(f"severity {SEVERITIES[column]:g}" if row == 0 else "", fontsize=10)
            axes.set_ylabel(kind if column == 1 else "", fontsize=11)
        axes = figure.add_subplot(charts[row + 2])
        plot_ratings(axes, {role: values[row] for role, values in ratings.items()})
        axes.tick_params(labelbottom=row == len(KINDS) - 1)
    axes.set_xlabel("severity (0 = undistorted)")
    figure.legend(*axes.get_legend_handles_labels(), loc=(0.21, 0.91), fontsize=10.5, frameon=False)
    return figure


def make_versions() -> np.ndarray:
    """(kinds, severities, side, side, 3) RGB in 0…1, float32."""
    from matplotlib import get_data_path
    from PIL import Image, ImageOps

    with Image.open(Path(get_data_path(), "sample_data", "grace_hopper.jpg")) as file:
        square = ImageOps.fit(file.convert("RGB"), (quality.PHOTO_PX, quality.PHOTO_PX), centering=(0.5, 0.2))
    rgb = np.asarray(square) / np.float32(255)
    rows = [[distort(rgb, s, np.random.default_rng(0)) if s else rgb for s in SEVERITIES] for distort in KINDS.values()]
    return np.array(rows)


@torch.no_grad()
def rate(name: str, versions: np.ndarray) -> np.ndarray:
    """(kinds, severities) ratings by the shipped head of a network."""
    network = Classifier(name)
    head = QualityHead(shipped_file(name), network.digest)
    flat = versions.reshape(-1, *versions.shape[2:])
    pixels = torch.cat([quality.resize(picture, network.image_size_px) for picture in flat])
    features = torch.nn.functional.normalize(network.features(pixels), dim=1)
    return head.rate_features(features).numpy().reshape(versions.shape[:2])


def show_picture(axes: Axes, picture: np.ndarray, ratings: list[float]) -> None:
    """Shows one version, with the guide's rating below on the left and the judge's on the right."""
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    for role, value, side in zip(COLOURS, ratings, ("left", "right"), strict=True):
        text = axes.text(float(side == "right"), -0.03, f"{value:.1f}", ha=side, va="top", transform=axes.transAxes)
        text.set(color=COLOURS[role], fontsize=10.5)


def explain(axes: Axes) -> None:
    """Writes the explanation of the picture beside the undistorted scene."""
    lines = (
        "Photographic quality of one scene and of its distorted versions,",
        "rated by the two heads that the package ships (↑ better).",
        "n = 1 scene that no head was trained on: US Navy, public domain.",
    )
    axes.axis("off")
    axes.text(0.03, 1, "\n".join(lines), fontsize=10.5, va="top", linespacing=1.4, transform=axes.transAxes)


def plot_ratings(axes: Axes, ratings: dict[quality.Role, np.ndarray]) -> None:
    """Plots each head's ratings over severity, and the targets."""
    wanted = [8 - 6 * s if s else 9 for s in SEVERITIES]
    axes.plot(SEVERITIES, wanted, ":", color="#888888", label="target: 9 if undistorted, else 8 − 6 · severity")
    for (name, role), side in zip(ROLES.items(), ("left", "right"), strict=True):
        label = f"{role}, number on the {side}: {name}"
        axes.plot(SEVERITIES, ratings[role], "o-", color=COLOURS[role], markersize=3, label=label)
    axes.set(ylim=(1.5, 9.5), yticks=[3, 5, 7, 9], xticks=SEVERITIES)
    axes.set_ylabel("rating ↑ better", fontsize=8.5)
    axes.tick_params(labelsize=8.5)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(main())
