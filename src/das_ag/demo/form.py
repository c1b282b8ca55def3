"""The user's settings, converted to a configuration, to a command line, and from a stored sample."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from das_ag.demo.presets import PRESETS, Preset, composed, look_up, plain
from das_ag.errors import UserError
from das_ag.methods import METHODS
from das_ag.settings.plan import Plan, make_plan
from das_ag.settings.prompts import prompt_id_of
from das_ag.store.command import PLACES, UNRECORDED, hydra_value, prompt_overrides
from das_ag.store.samples import Sample, check_family, with_later
from das_ag.synthesis.terms import IMAGE_TERMS, VIEW_TERMS

NAME = "demo"
"""Name of the folder under outputs/ for the images."""

SCHEDULES = ("views.noise", "views.colour_shift", "objective.aesthetic")
"""Weights that change from step to step."""
TERMS = {**VIEW_TERMS, **IMAGE_TERMS}
"""The further terms of the objective by name; one without a weight has the weight 0."""
SETTINGS = (
    "canvas_px", "gamut", "gamut_gain", "steps", "learning_rate", "betas", "views.count", "views.max_shift_px",
    "views.augment", "views.crops", "views.crop_size",
    *(f"{schedule}.{part}" for schedule in SCHEDULES for part in ("kind", "start", "end", "rate")),
    "objective.clip", *(f"objective.{term}" for term in TERMS), "pyramid.levels", "pyramid.max_level_px",
    "pyramid.combine", "pyramid.initial", "pyramid.initial_scale", "pyramid.interpolation",
    "runtime.deterministic", "runtime.precision", "randomness", "models.name", "models.image_size_px",
    "models.attention", "models.guide_dropout",
)  # fmt: skip
"""All settings that a form can change, by their names in the configuration, except method, prompt and seed."""

_MODES = {True: "runtime=deterministic", False: "runtime=fast"}


LEVEL = "pyramid.max_level_px"


@dataclass(frozen=True)
class Form:
    """The inputs of a run.

    Attributes:
        preset: a key of `PRESETS`.
        methods: keys of `METHODS`, at least one.
        positive, negative: texts.
        settings: the values of `SETTINGS` that differ from the preset's.
    """

    preset: str
    methods: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    seed: int
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def all_settings(self) -> dict[str, Any]:
        """The settings of the preset with the changes."""
        usual = settings_of(PRESETS[self.preset])
        values = usual | dict(self.settings)
        return values | {LEVEL: self.settings.get(LEVEL, _finest_level(usual, values["canvas_px"]))}

    def plans(self) -> list[Plan]:
        """A plan of one sample for each method.

        Raises:
            UserError: a value is missing, out of range, or unknown to the models.
        """
        if not self.positive:
            raise UserError("Prompt: expected a text, got none; write one, or start from an example.")
        return [make_plan(composed(f"method={method}", "film=true", *self._overrides())) for method in self.methods]

    def command(self) -> str:
        """One command line for bash that makes the same images in the same folder."""
        many = len(self.methods) > 1
        words = [*(["-m"] if many else []), f"method={','.join(self.methods)}", *self._overrides()]
        return " ".join([PRESETS[self.preset].program, *map(shlex.quote, words)])

    @property
    def models(self) -> tuple[str, ...]:
        """Hydra overrides that select the networks; a stored sample may bring others than the preset's."""
        own = (self._override(name, value) for name, value in self.settings.items() if name.startswith("models."))
        return (*PRESETS[self.preset].overrides, *own)

    def seconds(self, per_view: float | None) -> float:
        """Expected time of the images, from the time of a view in a step; None: on two CPU cores."""
        settings, usual = self.all_settings, PRESETS[self.preset].seconds_per_view
        return (per_view or usual) * settings["steps"] * settings["views.count"] * len(self.methods)

    def to_json(self) -> str:
        """The whole form as JSON, for a file."""
        entry = {
            "preset": self.preset,
            "methods": list(self.methods),
            "positive": list(self.positive),
            "negative": list(self.negative),
            "seed": self.seed,
            "settings": self.all_settings,
            "command": self.command(),
        }
        return json.dumps(entry, indent=2, ensure_ascii=False) + "\n"

    def _overrides(self) -> list[str]:
        """Hydra overrides for everything except the method."""
        return [
            *PRESETS[self.preset].overrides,
            *prompt_overrides(prompt_id_of(self.positive, self.negative), self.positive, self.negative),
            f"seeds=[{self.seed}]",
            f"name={NAME}",
            *(self._override(name, value) for name, value in self.settings.items()),
        ]

    def _override(self, name: str, value: Any) -> str:
        if name == "runtime.deterministic":
            return _MODES[value]
        is_new = look_up(plain(PRESETS[self.preset].config), name) is None  # then Hydra wants a plus
        return f"{'+' * is_new}{name}={hydra_value(value)}"


def settings_of(preset: Preset) -> dict[str, Any]:
    """The preset's values of `SETTINGS`, in their order, without those that its models do not have."""
    values = plain(preset.config)
    values["objective"] = {**dict.fromkeys(TERMS, 0.0), **values["objective"]}
    values["models"] = {**values["models"], **preset.guide.identity()}  # resolves a size of null to a number
    found = {name: look_up(values, name) for name in SETTINGS}
    return {name: value for name, value in found.items() if value is not None}


def changed(preset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the preset's."""
    usual = settings_of(PRESETS[preset])
    usual[LEVEL] = _finest_level(usual, settings.get("canvas_px", usual["canvas_px"]))
    return {name: value for name, value in settings.items() if name not in usual or usual[name] != value}


def _finest_level(usual: Mapping[str, Any], canvas_px: int) -> int:
    """The default finest level: it scales with the canvas, as in the preset."""
    return max(1, canvas_px * usual[LEVEL] // usual["canvas_px"])


def seed_of(preset: str) -> int:
    """The initial seed of a preset."""
    return int(PRESETS[preset].config.seeds[0])


def form_of(sample: Sample) -> Form:
    """The form that makes a sample again.

    Raises:
        UserError: another version made it, or its method is not in `METHODS`.
    """
    check_family(sample)
    try:
        settings = dict(_settings_of(sample.settings))
        preset = _preset_of(sample, settings)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{sample.name}: this version cannot read the settings ({error} is missing); use the version of das-ag "
            "that made the sample."
        ) from error
    if sample.method not in METHODS:
        raise UserError(
            f"{sample.name}: expected one of the methods {', '.join(METHODS)}, got {sample.method!r}; use the command "
            "line instead."
        )
    return Form(
        preset, (sample.method,), sample.positive, sample.negative, sample.seed, changed(preset, settings)
    )  # fmt: skip


def _settings_of(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of `SETTINGS` that a sample was made with."""
    stored = with_later({**UNRECORDED, **stored})
    if stored["guide"]["family"] == "openai_clip":  # samples of the published CLIP record no name
        stored["guide"] = {"name": "ViT-L/14", **stored["guide"]}
    stored["objective"] = {**dict.fromkeys(TERMS, 0.0), **stored["objective"]}
    is_das = stored["objective"]["aesthetic_sign"] == 0
    not_everywhere = ("models.", "objective.aesthetic.") if is_das else ("models.",)
    for name in SETTINGS:
        value = look_up(stored, PLACES.get(name, name))
        if value is not None:
            yield name, list(value) if isinstance(value, tuple) else value
        elif not name.startswith(not_everywhere):
            raise KeyError(name)


def _preset_of(sample: Sample, settings: Mapping[str, Any]) -> str:
    """The preset of the same models with the most similar settings."""
    family = sample.settings["guide"]["family"]
    fitting = [name for name, preset in PRESETS.items() if preset.config.models.family == family]
    if not fitting:
        raise UserError(f"models.family: this version has no models {family!r}; update das-ag.")
    changes = {name: changed(name, settings) for name in fitting}
    return min(fitting, key=lambda name: ("models.name" in changes[name], len(changes[name])))
