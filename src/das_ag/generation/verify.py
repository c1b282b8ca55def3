"""Verifies that finished samples can be reproduced byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from das_ag.errors import UserError
from das_ag.generation.cost import Cost
from das_ag.generation.recipe import Recipe
from das_ag.generation.regenerate import describe_difference, describe_trace_difference, regenerate
from das_ag.settings.runtime import DEVICES, choose_device
from das_ag.store.samples import TRACE, Record, differing
from das_ag.store.store import Store

_NOT_COMPARED = ("guide", "duration_s", "published_figures")
"""Entries of a provenance that do not affect the computation."""


@dataclass(frozen=True)
class Verdict:
    """The result of a verification.

    Attributes:
        name: name of the sample.
        is_same: whether image, recipe and trace equal the stored ones byte for byte; None if it could not be remade.
        sentence: how they differ, or why the sample could not be made.
        environment: differences between this environment and the original one.
    """

    name: str
    is_same: bool | None
    sentence: str
    environment: Sequence[str]

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: {self.sentence}", *(f"  {line}" for line in self.environment)])


def verify(
    store: Store,
    record: Record,
    overrides: Sequence[str] = (),
    *,
    allow: Callable[[str, Cost], None] = lambda *_: None,
) -> Verdict:
    """Makes a sample again from its stored settings, and compares the result with the stored files.

    Args:
        allow: see `regenerate`.
    """
    name = record.sample.name
    if record.placement is None:
        return Verdict(name, None, "cannot be made again: an earlier version did not record its row in the batch", ())
    device = [] if any(o.startswith("runtime.device=") for o in overrides) else _device_of(record)
    try:
        again = regenerate(Recipe(record.sample, record.placement), [*device, *overrides], allow=allow)
        stored, trace = store.read_image(record.image), (store.root / record.folder / TRACE).read_bytes()
        png = (store.root / record.image).read_bytes()
    except (OSError, UserError) as error:
        return Verdict(name, None, str(error).removeprefix(f"{name}: "), ())
    found = []
    if not again.is_in(png):
        found.append(f"image differs: {describe_difference(stored, again.image)}")
    if again.trace != trace or hashlib.sha256(again.trace).hexdigest() != record.trace_sha256:
        how = describe_trace_difference(trace, again.trace)
        found.append(f"trace differs: {how}" if how else "trace differs")
    words = "" if png == again.png else "; only the wording of the text in the PNG differs"
    sentence = "; ".join(found) or f"image and trace are the same{words}"
    return Verdict(name, not found, sentence, differences(record.provenance, again.provenance))


def _device_of(record: Record) -> list[str]:
    """An override for the kind of device that made the sample; empty if this machine has no such device."""
    recorded = record.provenance.get("device")
    kind = recorded if recorded in DEVICES else "cuda"  # for CUDA, the provenance has the GPU's name
    try:
        choose_device(kind)
    except UserError:
        return []
    return [f"runtime.device={kind}"]


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """One line for each difference between two environments."""
    found = differing(recorded, here)
    return [
        f"{name.removeprefix('versions.')}: now {now}, originally {before}"
        for name, (before, now) in found.items()
        if name not in _NOT_COMPARED
    ]
