"""Trains the quality head of a frozen network by ridge regression, and measures it on held-out photos."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageOps
from scipy.stats import mannwhitneyu, spearmanr
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from das_ag.errors import UserError
from das_ag.training.distortions import KINDS, Picture

Photo = UInt8[np.ndarray, "s s 3"]
FeatureFunction = Callable[[Float[Tensor, "n 3 h w"]], Float[Tensor, "n d"]]
"""RGB in 0…1 to features, not normalised: `Classifier.features`."""
Role = Literal["guide", "judge"]
"""A guide sees whole pictures and crops of them, a judge whole pictures only. Their heads share no photo."""
Side = tuple[float, float]

PHOTO_PX = 240
PARTS: dict[str, float] = {"held out": 0.2, "guide": 0.6, "judge": 0.2}
FEWEST_PHOTOS = 25
FOLDS = 5
"""Number of folds of the cross-validation over a role's photos that chooses the ridge."""
RIDGES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
NEARLY_WHOLE, CROP, WHOLE = (0.9, 1.0), (0.4, 0.9), (1.0, 1.0)
"""Sides of random squares, as a share of the picture's side. `CROP` is the size of a guide's views."""
SQUARES = {"guide": (NEARLY_WHOLE, NEARLY_WHOLE, CROP), "judge": (NEARLY_WHOLE, NEARLY_WHOLE), "held out": (WHOLE,)}
"""Squares of each photo, each undistorted and once for each kind. More versions do not help; more photos do."""
CLEAN_SHARE = 0.2
"""Share of the weight in the regression that undistorted pictures get."""
STRONG = 0.4
"""Severity above which a head should distinguish a version from a clean photo."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Versions:
    """Features of clean and distorted pictures.

    Attributes:
        features: L2-normalised, float32.
        kind: index in `KINDS`; −1 for a clean picture.
        severity: in 0…1; 0 for a clean picture.
        photo: index of the photo that a picture comes from.
    """

    features: Float[Tensor, "n d"]
    kind: Int[Tensor, " n"]
    severity: Float[Tensor, " n"]
    photo: Int[Tensor, " n"]

    @property
    def ratings(self) -> Float[Tensor, " n"]:
        """The target ratings, float64."""
        return torch.where(self.kind < 0, 9.0, 8 - 6 * self.severity)

    def __getitem__(self, mask: Tensor) -> Versions:
        return Versions(self.features[mask], self.kind[mask], self.severity[mask], self.photo[mask])


@dataclass(frozen=True)
class Head:
    """An affine map, float64, and its ridge."""

    weight: Float[Tensor, " d"]
    bias: Float[Tensor, ""]
    ridge: float

    def __call__(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Ratings, float64."""
        return features.double() @ self.weight + self.bias


@dataclass(frozen=True)
class Figures:
    """Accuracy of a head on some versions.

    Attributes:
        correlation: Spearman's, between its ratings and the true ones.
        auc: probability that it rates a clean photo above a version with severity over `STRONG`.
        n: number of pictures; the AUC compares `n_clean` with `n_strong` pictures.
    """

    correlation: float
    auc: float
    n: int
    n_clean: int
    n_strong: int


def train_head(
    photos: Sequence[Photo], features_of: FeatureFunction, size_px: int, *, role: Role, seed: int
) -> tuple[Head, dict[str, Figures], int]:
    """Trains a head on a role's photos and measures it on the held-out ones.

    Args:
        size_px: side of the network's input pictures.
        seed: of the split, the distortions and the crops.

    Returns:
        The head, its figures over "all kinds" and over each kind, and the number of training photos.
    """
    parts = split_photos(len(photos), seed)
    training, held_out = (
        compute_versions(photos, parts[part], features_of, size_px, squares=SQUARES[part], seed=seed)
        for part in (role, "held out")
    )
    head = fit_head(training)
    return head, measure_by_kind(head, held_out), len(parts[role])


def read_photos(folder: Path) -> list[Photo]:
    """Reads the pictures of a folder, sorted by name, and resizes each central square to `PHOTO_PX`.

    Raises:
        UserError: there is no such folder, it holds fewer than `FEWEST_PHOTOS` pictures, or some cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"--photos: {folder} is not a folder; give a folder of photos.")
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS adds ._x.jpg to each x.jpg
    paths = sorted(path for path in visible if path.suffix.lower() in SUFFIXES)
    photos, broken = [], []
    for path in paths:
        try:
            photos.append(_read_photo(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # Pillow raises all of these
            broken.append(path.name)
    if broken:
        raise UserError(
            f"--photos: cannot read {len(broken)} of {len(paths)} pictures in {folder}, first {broken[0]}; remove or "
            "replace them."
        )
    if len(photos) < FEWEST_PHOTOS:
        raise UserError(
            f"--photos: expected at least {FEWEST_PHOTOS} pictures ({', '.join(SUFFIXES)}) in {folder}, found "
            f"{len(photos) or 'none'}; give a folder with more pictures."
        )
    return photos


def _read_photo(path: Path) -> Photo:
    with Image.open(io.BytesIO(path.read_bytes())) as file:
        picture = file.convert("RGB")
    return np.asarray(ImageOps.fit(picture, (PHOTO_PX, PHOTO_PX), Image.Resampling.BICUBIC))


def split_photos(n: int, seed: int) -> dict[str, list[int]]:
    """Assigns photos to `PARTS` at random; no photo belongs to two parts."""
    ends = np.round(np.cumsum(list(PARTS.values())) * n).astype(int)
    parts = np.split(np.random.default_rng(seed).permutation(n), ends[:-1])
    return dict(zip(PARTS, (part.tolist() for part in parts), strict=True))


@torch.no_grad()
def compute_versions(
    photos: Sequence[Photo],
    chosen: Sequence[int],
    features_of: FeatureFunction,
    size_px: int,
    *,
    squares: Sequence[Side],
    seed: int,
) -> Versions:
    """Distorts each chosen photo and computes the features of its versions.

    Args:
        squares: sides of random squares; each gives one undistorted version and one for each kind.
    """
    features, rows = [], []
    for index in tqdm(chosen, unit="photo", disable=None):
        rgb = photos[index] / np.float32(255)
        pictures, kinds, severities = zip(*_versions(rgb, squares, seed=(seed, index)), strict=True)
        seen = features_of(torch.cat([resize(picture, size_px) for picture in pictures]))
        features.append(F.normalize(seen.float(), dim=1))
        rows += [(kind, severity, index) for kind, severity in zip(kinds, severities, strict=True)]
    kind, severity, photo = torch.tensor(rows, dtype=torch.float64).T
    return Versions(torch.cat(features), kind.long(), severity, photo.long())


def _versions(rgb: Picture, squares: Sequence[Side], seed: tuple[int, int]) -> Iterator[tuple[Picture, int, float]]:
    """(picture, kind, severity) of each version; severities are uniform in 0…1."""
    generator = np.random.default_rng(seed)  # one for each photo, so photos do not depend on each other
    for side in squares:
        yield _cut(rgb, side, generator), -1, 0.0
        for kind, distort in enumerate(KINDS.values()):
            severity = generator.uniform()
            yield _cut(distort(rgb, severity, generator), side, generator), kind, severity


def _cut(picture: Picture, side: Side, generator: np.random.Generator) -> Float[np.ndarray, "s s 3"]:
    """A random square, mirrored half of the time; the picture itself if the side is the whole."""
    if side == WHOLE:
        return picture
    side_px = round(picture.shape[0] * generator.uniform(*side))
    top, left = generator.integers(0, picture.shape[0] - side_px, size=2, endpoint=True)
    square = picture[top : top + side_px, left : left + side_px]
    return square[:, ::-1] if generator.random() < 0.5 else square


def resize(picture: Picture, size_px: int) -> Float[Tensor, "1 3 s s"]:
    """Antialiased bicubic, as in Pillow."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return F.interpolate(tensor, size=(size_px, size_px), mode="bicubic", antialias=True).clamp(0, 1)


def fit_head(versions: Versions) -> Head:
    """Fits with the ridge of `RIDGES` that ranks best in cross-validation."""
    fold_of = torch.unique(versions.photo, return_inverse=True)[1] % FOLDS
    correlations = np.zeros(len(RIDGES))
    for fold in range(FOLDS):
        heads = _fit(versions[fold_of != fold], RIDGES)
        correlations += [measure(head, versions[fold_of == fold]).correlation for head in heads]
    return _fit(versions, [RIDGES[correlations.argmax()]])[0]


def _fit(versions: Versions, ridges: Sequence[float]) -> list[Head]:
    clean = versions.kind < 0
    n, n_clean = len(clean), int(clean.sum())
    # The mean weight is 1, so the shares do not change the meaning of a ridge.
    weights = torch.where(clean, CLEAN_SHARE * n / n_clean, (1 - CLEAN_SHARE) * n / (n - n_clean)).double()
    return solve_ridge(versions.features.double(), versions.ratings, weights, ridges)


def solve_ridge(
    features: Float[Tensor, "n d"], ratings: Float[Tensor, " n"], weights: Float[Tensor, " n"], ridges: Sequence[float]
) -> list[Head]:
    """For each ridge, the head that minimises Σ weights · (features · weight + bias − ratings)² + ridge · |weight|²."""
    share = weights / weights.sum()
    mean, mean_rating = share @ features, share @ ratings
    centred = features - mean
    weighted = centred * weights[:, None]
    gram, moment = weighted.T @ centred, weighted.T @ (ratings - mean_rating)
    solutions = [torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), moment) for ridge in ridges]
    return [Head(w, mean_rating - mean @ w, ridge) for w, ridge in zip(solutions, ridges, strict=True)]


def measure(head: Callable[[Tensor], Tensor], versions: Versions) -> Figures:
    """Rank correlation and AUC of a head's ratings."""
    rated = head(versions.features)
    clean, strong = rated[versions.kind < 0], rated[versions.severity > STRONG]
    auc = mannwhitneyu(clean, strong).statistic / max(len(clean) * len(strong), 1) if len(strong) else float("nan")
    correlation = float(spearmanr(rated, versions.ratings).statistic)
    return Figures(correlation, float(auc), len(rated), len(clean), len(strong))


def measure_by_kind(head: Callable[[Tensor], Tensor], versions: Versions) -> dict[str, Figures]:
    """Figures over all kinds, and for each kind together with the clean photos."""
    masks = {name: (versions.kind < 0) | (versions.kind == kind) for kind, name in enumerate(KINDS)}
    figures = {name: measure(head, versions[mask]) for name, mask in masks.items()}
    return {"all kinds": measure(head, versions), **figures}
