"""The command that reproduces a stored sample."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from das_ag.errors import UserError, first_line
from das_ag.methods import METHODS
from das_ag.store.samples import Sample, with_later

_FOLDED = ("family", "aesthetic_sign")
"""Settings that the choice of a group implies."""

PLACES = {
    "canvas_px": "pyramid.canvas_px",
    "gamut": "pyramid.gamut",
    "gamut_gain": "pyramid.gamut_gain",
    **{option: f"ascent.{option}" for option in ("steps", "learning_rate", "betas")},
    **{f"runtime.{option}": option for option in ("precision", "deterministic")},
    **{
        f"models.{option}": f"guide.{option}"
        for option in ("name", "pretrained", "image_size_px", "attention", "guide_dropout")
    },
    "models": "guide.family",
}
"""Where a sample's settings hold a command-line option, if not under the same name."""

EXTRAS = {"openai_clip": "paper", "hf_clip": "paper", "open_clip": "open_clip"}
"""Extras of the package that a guide needs, by its family."""

UNRECORDED = {"deterministic": True}
"""Settings that old versions did not record, with the values they used."""

_READ_AS_OTHERS = re.compile(r"\d+|true|false|null|nan|inf", re.IGNORECASE)
"""Words that Hydra reads as a number, a boolean or null if they have no quotes."""


def command_of(sample: Sample) -> str:
    """A bash command that makes the image again, with the same key, under outputs/again.

    It states every setting, so it stays valid when defaults change. As in any run, environment variables give the
    paths of the user's own weights.

    Raises:
        UserError: this version cannot read the settings.
    """
    if version := sample.only_by_version:
        return f"# only version {version} of das-ag has the models that made this sample"
    overrides = overrides_of(sample)
    extra = EXTRAS.get(sample.settings["guide"]["family"])
    program = f"uv run {f'--extra {extra} ' if extra else ''}das-ag run"
    return " ".join([program, *map(shlex.quote, overrides)])


def overrides_of(sample: Sample) -> list[str]:
    """Hydra overrides that compose to the sample's settings, not yet quoted for a shell.

    Raises:
        UserError: settings are missing or of another kind.
    """
    try:
        return _overrides_of(sample)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise UserError(
            f"{sample.name}: this version cannot read the settings ({why}); use the version of das-ag that made the "
            "sample."
        ) from error


def _overrides_of(sample: Sample) -> list[str]:
    settings = with_later({**UNRECORDED, **sample.settings})
    method = _choice_of_method(sample.method, settings["objective"]["aesthetic_sign"])
    return [
        f"method={method}",
        *([f"method.name={hydra_value(sample.method)}"] if sample.method != method else []),
        f"models={hydra_value(settings['guide']['family'])}",
        f"seeds=[{sample.seed}]",
        *prompt_overrides(sample.prompt_id, sample.positive, sample.negative),
        *_group("models", settings["guide"]),
        *_group("pyramid", settings["pyramid"]),
        *_group("views", settings["views"]),
        # A term has no weight in a configuration that does not know it, and only ++ can add one.
        *_group("++objective", {name: value for name, value in settings["objective"].items() if value is not None}),
        *(f"{name}={hydra_value(value)}" for name, value in settings["ascent"].items()),
        f"runtime.precision={hydra_value(settings['precision'])}",
        *([] if settings["deterministic"] else ["runtime=fast"]),
        f"randomness={hydra_value(settings['randomness'])}",
        "name=again",  # the sample's own store already has it, so nothing would be made
    ]


def _choice_of_method(name: str, aesthetic_sign: int) -> str:
    """The choice of `method=` with this sign: the method of this name if it fits, else the first that does."""
    fitting = [method.name for method in METHODS.values() if method.aesthetic_sign == aesthetic_sign]
    return name if name in fitting else fitting[0]


def prompt_overrides(prompt_id: str, positive: Sequence[str], negative: Sequence[str]) -> list[str]:
    """Hydra overrides that compose to one prompt with this id and these texts."""
    texts = hydra_value(positive[0] if len(positive) == 1 else positive)
    if not re.fullmatch(r"[A-Za-z][\w.-]*", prompt_id) or _READ_AS_OTHERS.fullmatch(prompt_id):
        named = f"prompts.positive=[{{id: {_quoted(prompt_id)}, prompt: {texts}}}]"
    else:
        named = f"prompts.positive={{{prompt_id}: {texts}}}"
    return ["prompts=own", named, *([f"prompts.negative={hydra_value(negative)}"] if negative else [])]


def _group(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    for option, value in settings.items():
        if option not in _FOLDED:
            yield f"{name}.{option}={hydra_value(value)}"


def hydra_value(value: Any) -> str:
    """A value in Hydra's grammar; plain lower-case words stay unquoted, all other texts are quoted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {hydra_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(hydra_value, value)) + "]"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, str) and (not re.fullmatch(r"[a-z][a-z_]*", value) or _READ_AS_OTHERS.fullmatch(value)):
        return _quoted(value)
    return repr(float(value)) if isinstance(value, float) else str(value)  # numpy's float64 is a float, too


def _quoted(text: str) -> str:
    """A text in double quotes, escaped so that OmegaConf and Hydra keep it as it is.

    A backslash has a special meaning only before `${` in OmegaConf, and only before a quote in Hydra.
    """
    if "${" in text:
        text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return '"' + re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + found[2].replace('"', '\\"'), text) + '"'
