"""What Hydra takes amiss in a command line without saying where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from das_ag.errors import UserError

CONFIGURATION = Path(__file__).parents[3] / "conf"

_OVERRIDE = re.compile(r"\+?(?P<group>[\w/]+)(@[^=]*)?=(?P<value>.*)", re.DOTALL)
_NO_NAME = re.compile(r"null|true|false|[+-]?(nan|inf|\d[\d_]*)|[+-]?(?=.*\d)[\d_]*\.[\d_]*(e[+-]?\d+)?", re.IGNORECASE)
"""What Hydra reads as nothing, a truth or a number where it stands without quotes."""


def check_choices(overrides: Iterable[str]) -> None:
    """Sees that each group which is chosen anew, as in `models=openai_clip`, is given names.

    Raises:
        UserError: it is given a number or nothing.
    """
    for override in overrides:
        found = _OVERRIDE.fullmatch(override)
        choices = sorted(path.stem for path in (CONFIGURATION / found["group"]).glob("*.yaml")) if found else []
        if found and choices:
            for choice in map(str.strip, found["value"].strip("[] ").split(",")):
                if _NO_NAME.fullmatch(choice):
                    raise UserError(
                        f"{found['group']}: expected one of {', '.join(choices)}, got {choice}; choose one of them."
                    )
