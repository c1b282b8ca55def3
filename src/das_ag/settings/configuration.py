"""Composes a configuration from command-line arguments, with error messages of our own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf

from das_ag.errors import UserError, did_you_mean, first_line
from das_ag.settings import resolvers  # noqa: F401  the configuration uses them
from das_ag.settings.arguments import check_values, with_list_of_seeds

_PACKAGE = Path(__file__).parents[1]
CONFIGURATION = next(path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir())
"""The folder conf/: inside the package if it was installed from a wheel, else at the top of the repository."""

_ONE_CHOICE = ("method", "models", "pyramid", "runtime")
"""Groups of which a second choice in brackets would replace parts of the first, without a word."""
_OVERRIDE = re.compile(r"\+?(?P<group>[\w/]+)(@[^=]*)?=(?P<value>.*)", re.DOTALL)
_NO_NAME = re.compile(r"null|true|false|[+-]?(nan|inf|\d[\d_]*)|[+-]?(?=.*\d)[\d_]*\.[\d_]*(e[+-]?\d+)?", re.IGNORECASE)
"""Words that Hydra reads as null, a boolean or a number if they have no quotes."""


_RENAMED = {
    "models=embedded": "its successor is models=imagenet.",
    "evaluator=embedded": "its successor is evaluator=imagenet.",
    "prompts=shapes": "it had no photos of things; try prompts=wonders.",
    "models.head_path": "Its name is models.head.",
    "runtime.compile": "It was removed, since it made no step faster.",
}
"""Choices and settings of earlier versions, with a sentence on what took their place."""


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The configuration that `das-ag run` gets with these overrides, for the other commands.

    Raises:
        UserError: a group, choice or option does not exist.
    """
    check_choices(overrides)
    try:
        with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
            return compose("config", overrides=[with_list_of_seeds(override) for override in overrides])
    except HydraException as error:
        raise UserError(describe(error)) from error


def check_choices(overrides: Iterable[str]) -> None:
    """Checks that each override has a name and values, and each override of a group, as `models=imagenet`, names.

    Raises:
        UserError: an override has no name or no values, gives a number, a boolean or null for a group, or several
            choices for a group that takes one.
    """
    for override in overrides:
        if not re.match(r"[+~\s]*[^+~\s=@]", override):
            raise UserError(_unreadable(override))
        check_values(override)
        found = _OVERRIDE.fullmatch(override)
        choices = sorted(path.stem for path in (CONFIGURATION / found["group"]).glob("*.yaml")) if found else []
        if found and (choices or re.match("hydra(/|$)", found["group"])):  # Hydra has groups of its own
            if found["group"] in _ONE_CHOICE and re.match(r"\[.*,", found["value"]):
                several = f"-m {found['group']}={found['value'].strip('[]')}"
                raise UserError(f"{found['group']}: expected one choice, got {found['value']}; run all with {several}.")
            expected = f"one of {', '.join(choices)}" if choices else "a name"
            for choice in map(str.strip, found["value"].strip("[] ").split(",")):
                if _NO_NAME.fullmatch(choice):
                    raise UserError(f"{found['group']}: expected {expected}, got {choice}; choose one of them.")


def describe(error: HydraException) -> str:
    """One sentence about the arguments that caused the error."""
    text = first_line(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, got = error.missing_cfg_file.rpartition("/")
        near = did_you_mean(got.lower().replace("-", "_"), error.options, count=1, cutoff=0.6).lstrip()
        remedy = _RENAMED.get(f"{group}={got}", near[:1].lower() + near[1:] or "choose one of them.")
        return f"{group}: expected one of {', '.join(error.options)}, got {got!r}; {remedy}"
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)=(.*)'", text):
        return _one_value(found[1], found[2])
    if found := re.match(r"Error merging override (.*?)=(.*)", str(error), re.DOTALL):
        return _of_another_kind(found[1].strip("+"), found[2])
    if found := re.match(r"Could not override '(.*)'", text):
        # An override may set several keys, as in prompts.positive={mine: …}; the cause names the unknown key.
        got = (re.search(r"full_key: (.*)", str(error.__cause__)) or found)[1]
        return f"unknown setting {got!r}. {_advice(got)}See das-ag run --help."
    return f"{text.rstrip('.')}; see das-ag run --help."


def _one_value(name: str, got: str) -> str:
    if re.fullmatch(r"[^\[(]*", got) and isinstance(OmegaConf.select(compose_config([]), name), ListConfig):
        return f"{name}: expected values in brackets, got {got!r}; write '{name}=[{got}]'."
    return f"{name}: expected one value, got {got!r}; add -m to run all of them."


def _of_another_kind(name: str, got: str) -> str:
    if name.partition(".")[0] == "hydra":
        return f"{name}: expected another kind of value, got {got!r}; see das-ag run --hydra-help."
    default = OmegaConf.select(compose_config([]), name)
    if isinstance(default, ListConfig):
        remedy = f"write for instance '{name}={default}'" if default else f"write '{name}=[…]'"
        return f"{name}: expected values in brackets, got {got!r}; {remedy}."
    advice = _advice(name) if name.startswith("prompts.") else ""
    return f"{name}: expected a group of settings, got {got!r}. {advice}See das-ag run --cfg job."


def _unreadable(override: str | None) -> str:
    if override and "=" not in override:
        example = '"prompt=a castle and a volcano"'
        return f"cannot read the argument {override!r}, expected name=value; put quotes around a text, as in {example}."
    return (
        f"cannot read the argument {override!r}, expected name=value; put single quotes around the argument, and "
        "double quotes around each text and each name with letters other than a–z."
    )


def _advice(unknown: str) -> str:
    if unknown in _RENAMED:
        return f"{_RENAMED[unknown]} "
    if unknown.split(".")[:2] in (["prompts", "positive"], ["prompts", "negative"], ["prompts", "path"]):
        return 'Write your own text as "prompt=a castle and a volcano"; a file of prompts needs prompts=file. '
    near = did_you_mean(unknown, [*_names(), "prompts.path"], count=1, cutoff=0.6).strip()
    return f"{near} " if near else ""


def _names() -> list[str]:
    """The dotted names of all settings."""
    values: dict[str, Any] = OmegaConf.to_container(compose_config([]))  # type: ignore[assignment]
    return list(_dotted(values))


def _dotted(values: Mapping[str, Any], place: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{place}{name}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{place}{name}.")
