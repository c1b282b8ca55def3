"""Presets of the page: a configuration with its models and examples, what it lacks here, and how long it takes."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from das_ag.errors import UserError
from das_ag.evaluation import readiness
from das_ag.models.files import Source
from das_ag.models.registry import GuideChoice
from das_ag.settings.choices import choose_evaluators, choose_guide
from das_ag.settings.configuration import compose_config


@dataclass(frozen=True)
class Preset:
    """A configuration to start from.

    Attributes:
        title: its name on the page.
        overrides: its overrides of the configuration.
        prompts: groups of prompts to choose examples from.
        seconds_per_view: time of a view in a step on two cores of an AMD EPYC.
        program: the beginning of its command line.
        surprises: groups of prompts to draw from; empty: the examples.
    """

    title: str
    overrides: tuple[str, ...]
    prompts: tuple[str, ...]
    seconds_per_view: float
    program: str = "uv run das-ag run"
    surprises: tuple[str, ...] = ()

    @property
    def config(self) -> DictConfig:
        """Its composed configuration; read-only."""
        return composed(*self.overrides)

    @property
    def guide(self) -> GuideChoice:
        """The networks that guide."""
        return choose_guide(self.config.models)

    def seconds(self, per_view: float | None = None) -> float:
        """Expected time of an image, from the time of a view in a step; None: on two CPU cores."""
        return (per_view or self.seconds_per_view) * self.config.steps * self.config.views.count

    def examples(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Positive text and negative texts of each example, by name."""
        return self._texts(self.prompts)

    def surprise(self, but: str) -> tuple[str, tuple[str, ...]]:
        """Positive text and negative texts of a random prompt with another text than `but`."""
        texts = self._texts(self.surprises or self.prompts).values()
        return random.choice([drawn for drawn in texts if drawn[0] != but] or list(texts))

    def _texts(self, groups: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        for group in groups:
            prompts = composed(*self.overrides, f"prompts={group}").prompts
            for name, text in prompts.positive.items():
                found[str(name).replace("_", " ")] = (str(text), tuple(map(str, prompts.negative)))
        return found


_PAPER_PROGRAM = "uv run --extra paper das-ag run"

PRESETS = {
    "imagenet": Preset("ImageNet classifier", (), ("wonders",), 0.021, surprises=("suite", "pairs")),
    "laptop": Preset(
        "Laptop: CLIP ViT-B/32", ("experiment=laptop",), ("laptop",), 0.115, _PAPER_PROGRAM
    ),
    "paper": Preset(
        "Paper: CLIP ViT-L/14", ("experiment=paper", "published_figures=false"), ("published",), 1.5, _PAPER_PROGRAM
    ),
    "clip": Preset(
        "CLIP ViT-L/14, all of RGB", ("models=openai_clip", "evaluator=aesthetic_v2_5"), ("published",), 1.5,
        _PAPER_PROGRAM,
    ),
}  # fmt: skip
"""Presets by name; the page starts with the first."""

_composing = threading.Lock()


def composed(*overrides: str) -> DictConfig:
    """The configuration with these overrides; read-only, since all callers share it.

    Raises:
        UserError: there is no such group, choice or option.
    """
    with _composing:  # Hydra keeps one state for the whole process
        return _composed(overrides)


@functools.lru_cache(maxsize=256)
def _composed(overrides: Sequence[str]) -> DictConfig:
    return compose_config(overrides)


def plain(config: DictConfig) -> dict[str, Any]:
    """Plain resolved values; missing values stay `???`."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items()}


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name; None if there is none."""
    value: Any = values
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True)
class Lack:
    """Why models cannot run here.

    Attributes:
        files: weights to download.
        problem: a sentence on what else is wrong; empty if only `files` are missing.
    """

    files: tuple[Source, ...] = ()
    problem: str = ""


def lack_of(overrides: Sequence[str]) -> Lack | None:
    """What the models of a configuration lack here; None if they can run.

    Looks for files and makes no network requests.
    """
    try:
        files = files_of(overrides)
        missing = tuple(file for file in files if not file.is_there())
        found = [readiness.look(file) for file in files if file not in missing]
        problems = [finding.problem for finding in found if finding.problem]
        problems += [f"{file.what}: the weights are missing; {file.remedy}." for file in missing if file.given]
        if problems or missing:
            return Lack(missing, " ".join(problems))
        if files and not _answers_rightly():
            return Lack(problem="CLIP: the result for OpenAI's example is wrong; run das-ag check for details.")
    except UserError as error:
        return Lack(problem=str(error))
    return None


def files_of(overrides: Sequence[str]) -> list[Source]:
    """The weights outside of Python packages that the models of a configuration load.

    Raises:
        UserError: there are no such models, or their packages are missing.
    """
    config = composed(*overrides)
    return list(readiness.sources(choose_guide(config.models), *choose_evaluators(config.evaluator).values()))


@functools.cache
def _answers_rightly() -> bool:
    answer = readiness.known_answer()
    return answer is None or readiness.is_known_answer(answer)
