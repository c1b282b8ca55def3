"""Presets of the page: a configuration with its models and examples, and whether it can run here."""

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
        program: the beginning of its command line.
        surprises: groups of prompts to draw from; empty: the examples.
    """

    title: str
    overrides: tuple[str, ...]
    prompts: tuple[str, ...]
    program: str = "uv run python run.py"
    surprises: tuple[str, ...] = ()

    @property
    def config(self) -> DictConfig:
        """Its composed configuration; read-only."""
        return composed(*self.overrides)

    @property
    def guide(self) -> GuideChoice:
        """The networks that guide."""
        return choose_guide(self.config.models)

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


_PAPER_PROGRAM = "uv run --extra paper python run.py"

PRESETS = {
    "imagenet": Preset("ImageNet classifier", (), ("wonders",), surprises=("suite", "pairs")),
    "paper": Preset(
        "Paper: CLIP ViT-L/14", ("experiment=paper", "published_figures=false"), ("published",), _PAPER_PROGRAM
    ),
    "clip": Preset(
        "CLIP ViT-L/14, all of RGB",
        ("models=openai_clip", "evaluator=aesthetic_v2_5"),
        ("published",),
        _PAPER_PROGRAM,
    ),
}
"""Presets by name; the page starts with the first."""

CHECK = "uv run --extra paper das-ag check"
"""The command that reports missing weights."""

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


def why_not(name: str) -> str | None:
    """A sentence on why a preset cannot run here, as in das-ag check; None if it can.

    Looks for files and makes no network requests.
    """
    config = PRESETS[name].config
    try:
        sources = readiness.sources(choose_guide(config.models), *choose_evaluators(config.evaluator).values())
        findings = [readiness.look(source) for source in sources]
        unusable = [finding for finding in findings if not finding.usable]
        if unusable:
            return " ".join(f.problem or f"{f.what}: the weights are missing; {f.remedy}." for f in unusable)
        if findings and not _answers_rightly():
            return "CLIP: the result for OpenAI's example is wrong; run the command below."
    except UserError as error:
        return str(error)
    return None


@functools.cache
def _answers_rightly() -> bool:
    answer = readiness.known_answer()
    return answer is None or readiness.is_known_answer(answer)
