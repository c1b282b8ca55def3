"""Settings given in Python, as the command line has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from das_ag.errors import UserError
from das_ag.settings.prompts import prompt_id_of
from das_ag.store.command import hydra_value


def prompt_overrides(texts: Sequence[str], negative: str | Sequence[str]) -> Iterator[str]:
    """The prompts of these texts, each with the same unwanted texts.

    Raises:
        UserError: there are no texts, or a text twice.
    """
    unwanted = (negative,) if isinstance(negative, str) else tuple(negative)
    if not texts or len({*texts}) < len(texts):
        raise UserError(f"prompt: expected different texts, got {texts!r}; several images of one text need seeds=.")
    prompts = [{"id": prompt_id_of((text,), unwanted), "prompt": text} for text in texts]
    yield from ("prompts=own", f"prompts.positive={hydra_value(prompts)}", f"prompts.negative={hydra_value(unwanted)}")


def overrides_of(settings: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Settings as on the command line."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from overrides_of(value, f"{place}{name}.")
        else:
            yield f"{place}{name}={hydra_value(str(value) if isinstance(value, Path) else value)}"
