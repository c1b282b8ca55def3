"""Groups of a configuration that choose: guide, evaluators, machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from das_ag.errors import UserError
from das_ag.experiment.evaluators import EVALUATORS, EvaluatorChoice
from das_ag.experiment.guides import GUIDES, GuideChoice
from das_ag.experiment.runtime import RuntimeSettings
from das_ag.experiment.typed import build


def choose_guide(values: object) -> GuideChoice:
    """The networks of the group `models`.

    Raises:
        UserError: there is no such family, or an option is wrong.
    """
    values = plain(values)
    family = check_choice(values.get("family") if isinstance(values, dict) else values, GUIDES, "models.family")
    return build(GUIDES[family], values, "models")


def choose_evaluators(values: object) -> dict[str, EvaluatorChoice]:
    """The predictors of the group `evaluator`, options by name.

    Raises:
        UserError: there is no such predictor, or an option is wrong.
    """
    values = plain(values)
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"evaluator: expected one of {', '.join(EVALUATORS)}, got {values!r}; choose one of them.")
    chosen: dict[str, EvaluatorChoice] = {}
    for name, options in values.items():
        check_choice(name, EVALUATORS, "evaluator")
        chosen[str(name)] = build(EVALUATORS[name], options, f"evaluator.{name}")
    return chosen


def choose_runtime(values: object) -> RuntimeSettings:
    """The group `runtime`.

    Raises:
        UserError: an option is wrong.
    """
    return build(RuntimeSettings, plain(values), "runtime")


def check_choice(name: object, choices: Sequence[str] | Mapping[str, object], option: str) -> str:
    """Returns the name if it is one of the choices.

    Raises:
        UserError: it is not.
    """
    if not isinstance(name, str) or name not in choices:
        raise UserError(f"{option}: expected one of {', '.join(choices)}, got {name!r}; choose one of them.")
    return name


def plain(value: Any) -> Any:
    """Plain values of a part of a configuration; tuples as lists, as JSON gives them back."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
