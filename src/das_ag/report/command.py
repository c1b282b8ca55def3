"""The command that makes a sample again, from what the store says about it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from das_ag.experiment.store import Sample

_METHODS = {0: "das", 1: "das_ag", -1: "das_rag"}
"""The choice of `method=` by its sign."""

_FOLDED = ("family", "aesthetic_sign")
"""Settings that a choice of a group stands for."""

_READ_AS_OTHERS = re.compile(r"\d+|true|false|null|nan|inf", re.IGNORECASE)
"""Words that Hydra reads as numbers, truths or nothing where they stand without quotes."""


def command_of(sample: Sample) -> str:
    """One line for bash that makes the image again, with the same key, under outputs/again.

    Every setting is written out, so that it holds whatever the defaults come to be. Weights of one's own are looked
    for where the environment says, as always.
    """
    family = sample.settings["guide"]["family"]
    program = "uv run python run.py" if family == "embedded" else "uv run --extra paper python run.py"
    return " ".join([program, *map(shlex.quote, overrides_of(sample))])


def overrides_of(sample: Sample) -> list[str]:
    """What composes to the sample's settings, as Hydra takes it, not yet quoted for a shell."""
    settings = sample.settings
    method = _METHODS[settings["objective"]["aesthetic_sign"]]
    return [
        f"method={method}",
        *([f"method.name={_value(sample.method)}"] if sample.method != method else []),
        f"models={settings['guide']['family']}",
        f"seeds=[{sample.seed}]",
        "prompts=own",
        _prompts(sample),
        *([f"prompts.negative={_value(sample.negative)}"] if sample.negative else []),
        *_group("models", settings["guide"]),
        *_group("pyramid", settings["pyramid"]),
        *_group("views", settings["views"]),
        *_group("objective", settings["objective"]),
        *(f"{name}={_value(value)}" for name, value in settings["ascent"].items()),
        f"runtime.precision={settings['precision']}",
        f"randomness={settings['randomness']}",
        "name=again",  # in the sample's own store it would be found finished
    ]


def _prompts(sample: Sample) -> str:
    texts = _value(sample.positive[0] if len(sample.positive) == 1 else sample.positive)
    if _READ_AS_OTHERS.fullmatch(sample.prompt_id):
        return f"+prompts.positive.{sample.prompt_id}={texts}"
    return f"prompts.positive={{{sample.prompt_id}: {texts}}}"


def _group(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for option, value in settings.items():
        if option not in _FOLDED:
            yield f"{name}.{option}={_value(value)}"


def _value(value: Any) -> str:
    """A value in Hydra's grammar; words of a configuration need no quotes, all other texts have them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, str) and (not re.fullmatch(r"[a-z][a-z_]*", value) or _READ_AS_OTHERS.fullmatch(value)):
        return _quoted(value)
    return repr(value) if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    """A text between double quotes that neither OmegaConf nor Hydra reads anything into.

    Backslashes count only in front of what they could escape: of `${` for OmegaConf, of a quote for Hydra.
    """
    if "${" in text:
        text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return '"' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + found[2].replace('"', '\\"'), text) + '"'
