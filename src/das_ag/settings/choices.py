"""Builds the guide, the evaluators and the runtime settings that a configuration selects."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from das_ag.errors import UserError, first_line
from das_ag.models.registry import EVALUATORS, GUIDES, EvaluatorChoice, GuideChoice
from das_ag.settings.ranges import check_choice
from das_ag.settings.runtime import RuntimeSettings
from das_ag.settings.typed import build


def choose_guide(values: object) -> GuideChoice:
    """The guide that the group `models` selects.

    Raises:
        UserError: the family or class does not exist, or an option is wrong.
    """
    values = plain(values)
    family = values.get("family") if isinstance(values, Mapping) else values
    return _choose(GuideChoice, GUIDES, family, values, option="models.family", place="models")


def choose_evaluators(values: object) -> dict[str, EvaluatorChoice]:
    """The evaluators that the group `evaluator` selects, by name.

    Raises:
        UserError: the evaluator or class does not exist, or an option is wrong.
    """
    values = plain(values)
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"evaluator: expected one of {', '.join(EVALUATORS)}, got {values!r}; choose one of them.")
    return {
        str(name): _choose(EvaluatorChoice, EVALUATORS, name, options, option="evaluator", place=f"evaluator.{name}")
        for name, options in values.items()
    }


def _choose(base: type, classes: Mapping[str, str], name: object, options: object, *, option: str, place: str) -> Any:
    """An instance of the class that the option `kind` gives, else of the class called `name`.

    Args:
        base: required base class.
        classes: dotted names of classes by short name.
        options: fields of the class, and optionally `kind`: a short name, or the dotted name of an external class.
        option, place: where the configuration has the name and the options, for messages.
    """
    if isinstance(options, Mapping) and "kind" in options:
        kind = str(options["kind"])
        options = {key: value for key, value in options.items() if key != "kind"}
    else:
        kind = check_choice(name, classes, option)
    found = _import_class(classes.get(kind, kind), f"{place}.kind")
    if not issubclass(found, base):
        raise UserError(
            f"{place}.kind: expected a subclass of {base.__module__}.{base.__name__}, got {kind}; correct "
            "its base class."
        )
    if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
        raise UserError(f"{place}.kind: {kind} does not define {missing} of {base.__name__}; add what is missing.")
    return build(found, options, place)


def _import_class(dotted: str, option: str) -> type:
    if not re.fullmatch(r"(\w+\.)+\w+", dotted):
        raise UserError(f"{option}: expected the dotted name of a class, got {dotted!r}; write module.Class.")
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise UserError(
            f"{option}: cannot import {module} (“{first_line(error)}”); correct the name, or add the module's folder "
            "to PYTHONPATH."
        ) from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(f"{option}: expected a dataclass {name} in {module}, found none; correct the name.")
    return found


def choose_runtime(values: object) -> RuntimeSettings:
    """The settings of the group `runtime`.

    Raises:
        UserError: an option is wrong.
    """
    return build(RuntimeSettings, plain(values), "runtime")


def plain(value: Any) -> Any:
    """Converts a part of a configuration to plain values; tuples become lists, as in JSON."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
