"""Data types of a sample, requested or finished."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from das_ag.errors import UserError
from das_ag.store.files import canonical
from das_ag.store.schema import check_sample

KEY_LENGTH = 12
SAMPLES = "samples"
"""Subfolder of a store with a folder for each method; it contains a folder for each sample."""
IMAGE, SAMPLE, TRACE, LEVELS, SCORES = "image.png", "sample.json", "trace.csv", "levels.npz", "scores.json"
FRAMES = "frames.webp"


LATER: Mapping[str, Mapping[str, Any]] = {
    "pyramid": {"gamut_gain": 4.0, "initial_scale": 1.0},
    "views": {"crops": 0.0, "crop_size": [0.4, 0.9]},
    "objective": {"highlights": 0.0},
}
"""Settings that samples of version 0.1.0 do not record, with the values that have no effect.

A sample's key omits a setting with this value, so that older samples keep their keys.
"""


FROM_TEXTS_ALONE = 5
"""The first revision whose random numbers depend only on seed and texts, not on the prompt's short name."""

REMOVED = {"embedded": "0.1.0"}
"""Removed families of guides, with the last version that has each."""


def without_later(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without entries that equal those in `LATER`."""
    return {
        group: {
            name: value for name, value in values.items() if name not in LATER[group] or value != LATER[group][name]
        }
        if group in LATER and isinstance(values, Mapping)
        else values
        for group, values in settings.items()
    }


def with_later(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of any version, with missing values filled in from `LATER`."""
    return {
        group: {**LATER[group], **values} if group in LATER and isinstance(values, Mapping) else values
        for group, values in settings.items()
    }


def without_weight(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the aesthetic weight if the method ignores it, as DAS does."""
    objective = settings.get("objective")
    if not isinstance(objective, Mapping) or objective.get("aesthetic_sign") != 0 or "aesthetic" not in objective:
        return dict(settings)
    return {**settings, "objective": {**objective, "aesthetic": None}}


def leaves(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each value in nested groups."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values that differ between two nested groups, as pairs by dotted name; None for a missing value."""
    ours, theirs = dict(leaves(first)), dict(leaves(second))
    pairs = {name: (ours.get(name), theirs.get(name)) for name in {**ours, **theirs}}
    return {name: (a, b) for name, (a, b) in pairs.items() if a != b}


@dataclass(frozen=True)
class Sample:
    """One image, requested or finished.

    Attributes:
        method: a name in `das_ag.methods.METHODS`, or the run's own name for its method.
        prompt_id: short name of the prompt.
        positive, negative: texts of the prompts.
        seed: seed of the random numbers.
        settings: everything else that determines the image, ready for JSON.
    """

    method: str
    prompt_id: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    seed: int
    settings: Mapping[str, Any]

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of what was requested, hexadecimal: method, texts, seed, settings, checksums of the weights.

        It does not cover how the image was computed, which may change its last bits: device, threads, versions of the
        packages, and the sample's place in its batch (`Placement`). The provenance records those.
        """
        identity = self.identity()
        if self.settings.get("revision", 0) >= FROM_TEXTS_ALONE:
            del identity["prompt_id"]
        return hashlib.sha256(canonical(identity).encode()).hexdigest()

    @property
    def only_by_version(self) -> str | None:
        """The last version that has the sample's guide; None if this version has it."""
        guide = self.settings.get("guide")
        return REMOVED.get(str(guide.get("family"))) if isinstance(guide, Mapping) else None

    @property
    def all_settings(self) -> dict[str, Any]:
        """The settings, with missing values filled in from `LATER`."""
        return with_later(self.settings)

    @property
    def folder(self) -> Path:
        """The sample's folder, relative to the store."""
        return Path(SAMPLES, self.method, f"{self.prompt_id}-seed{self.seed}-{self.key[:KEY_LENGTH]}")

    @property
    def name(self) -> str:
        """The sample's name in messages."""
        return f"{self.method} {self.prompt_id} seed {self.seed}"

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> Sample:
        """The sample that `identity` describes.

        Raises:
            SchemaError: a value is missing or has another type.
        """
        check_sample(identity)
        return cls(
            method=identity["method"],
            prompt_id=identity["prompt_id"],
            positive=tuple(identity["positive"]),
            negative=tuple(identity["negative"]),
            seed=identity["seed"],
            settings=identity["settings"],
        )

    def identity(self) -> dict[str, Any]:
        """Everything that was requested, as plain values."""
        return {
            "method": self.method,
            "prompt_id": self.prompt_id,
            "positive": list(self.positive),
            "negative": list(self.negative),
            "seed": self.seed,
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class Placement:
    """The sample's place in its batch. It is not part of the key, although the image's last bits may depend on it.

    Rounding may differ with the shape of a matrix, the row in it, and the number of threads that share a sum.

    Attributes:
        samples_per_batch: samples that were optimised together.
        row: the sample's row in the batch.
        views_per_pass: views of the whole batch that passed through the encoder together.
        threads: number of CPU threads.
    """

    samples_per_batch: int
    row: int
    views_per_pass: int
    threads: int


@dataclass(frozen=True)
class Record:
    """A finished sample, read from the store.

    Attributes:
        folder: path relative to the store.
        sample: what was requested.
        result: the guide's numbers for the finished image: guide_aesthetic_score, clip_positive, clip_negative.
        image_sha256, trace_sha256: checksums of image.png and trace.csv.
        scores: by evaluator: {"score": …, "digest": …}, for exactly this image.
        provenance: where and how it was made.
    """

    folder: Path
    sample: Sample
    result: Mapping[str, float]
    image_sha256: str
    trace_sha256: str
    scores: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]

    @property
    def placement(self) -> Placement | None:
        """The sample's place in its batch; None if an earlier version made it and did not record the place."""
        names = [field.name for field in dataclasses.fields(Placement)]
        if any(name not in self.provenance for name in names):
            return None
        return Placement(**{name: self.provenance[name] for name in names})

    @property
    def image(self) -> Path:
        """The image's path relative to the store."""
        return self.folder / IMAGE


def check_family(sample: Sample) -> None:
    """Checks that this version still has the networks that guided a sample.

    Raises:
        UserError: only an earlier version has them.
    """
    if version := sample.only_by_version:
        raise UserError(
            f"{sample.name}: only version {version} of das-ag has the models that made this sample; use that version."
        )
