"""The form in the state of the page's widgets: values by key, in a mapping such as `st.session_state`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any

from das_ag.demo.form import SETTINGS, Form, changed, seed_of, settings_of
from das_ag.demo.presets import PRESETS
from das_ag.errors import UserError
from das_ag.methods import METHODS

State = MutableMapping[Any, Any]

RESOLUTION = "resolution_px"
"""Side of the image. Users set it instead of the canvas, which is the image with its border."""
SEED_MODES = ("fixed", "random")
MAX_SEED = 2**53 - 1
"""The largest integer that a browser represents exactly."""
DRAWN = 2**31
"""Upper limit of random seeds, so that they stay short."""
ALL_METHODS = "all"
KINDS_OF_PROMPT = ("positive", "negative")

WITHOUT_WIDGET = (
    "canvas_px", "betas", "gamut_gain", "views.crops", "views.crop_size", "pyramid.max_level_px",
    "pyramid.initial_scale", "models.name", "models.image_size_px", "models.attention", "models.guide_dropout",
)  # fmt: skip
"""Names of `SETTINGS`; the resolution sets the first, and a stored sample brings the others."""
CARRIED = "carried"
"""Key of these other settings."""


def begin(state: State) -> None:
    """Fills in a new session."""
    if "preset" not in state:
        preset = next(iter(PRESETS))
        positive, negative = next(iter(PRESETS[preset].examples().values()))
        put(state, Form(preset, tuple(METHODS), (positive,), negative, seed_of(preset)))
        state["seed mode"] = "fixed"


def put(state: State, form: Form) -> None:
    """Writes a form into the widgets.

    Raises:
        UserError: its seed is too large for a browser.
    """
    if form.seed > MAX_SEED:
        raise UserError(f"seed: expected at most {MAX_SEED} here, got {form.seed}; use the command line instead.")
    state["preset"], state["method"] = form.preset, ALL_METHODS if len(form.methods) > 1 else form.methods[0]
    for kind, texts in zip(KINDS_OF_PROMPT, (form.positive or ("",), form.negative), strict=True):
        put_prompts(state, kind, texts)
    state["seed"] = form.seed
    put_settings(state, form.all_settings, form.settings)


def put_settings(state: State, settings: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Writes these settings into the widgets, and keeps the changes that have no widget."""
    for name, value in settings.items():
        if name not in WITHOUT_WIDGET:
            state[name] = value
    state[RESOLUTION] = settings["canvas_px"] - 2 * settings["views.max_shift_px"]
    state[CARRIED] = {name: changes[name] for name in WITHOUT_WIDGET[1:] if name in changes}


def reset(state: State) -> None:
    """Resets the settings to the chosen preset; prompts and seed stay."""
    put_settings(state, settings_of(PRESETS[state["preset"]]), {})


def put_prompts(state: State, kind: str, texts: tuple[str, ...]) -> None:
    """Writes these texts into the widgets, one field for each."""
    first = state.get("next prompt", 0)
    state[f"{kind} prompts"] = tuple(range(first, first + len(texts)))
    state["next prompt"] = first + len(texts)
    for number, text in zip(state[f"{kind} prompts"], texts, strict=True):
        state[f"{kind} {number}"] = text


def add_prompt(state: State, kind: str) -> None:
    """Adds an empty field."""
    number = state["next prompt"]
    state["next prompt"], state[f"{kind} {number}"] = number + 1, ""
    state[f"{kind} prompts"] = (*state[f"{kind} prompts"], number)


def remove_prompt(state: State, kind: str, number: int) -> None:
    """Removes a field."""
    state[f"{kind} prompts"] = tuple(one for one in state[f"{kind} prompts"] if one != number)


def prompts(state: State, kind: str) -> tuple[str, ...]:
    """The texts that are not empty."""
    texts = (str(state.get(f"{kind} {number}") or "").strip() for number in state[f"{kind} prompts"])
    return tuple(text for text in texts if text)


def draw_seed(state: State) -> None:
    """Draws a new seed in random mode, and shows it in the field."""
    if state["seed mode"] == "random":
        state["seed"] = secrets.randbelow(DRAWN)


def surprise(state: State) -> None:
    """Draws a prompt that suits the preset, and a seed; method and parameters stay."""
    positive, negative = PRESETS[state["preset"]].surprise(but=" / ".join(prompts(state, "positive")))
    put_prompts(state, "positive", (positive,))
    put_prompts(state, "negative", negative)
    state["seed"] = secrets.randbelow(DRAWN)


def form_in(state: State) -> Form:
    """The form that the widgets show."""
    values = {name: state[name] for name in SETTINGS if name in state and name not in WITHOUT_WIDGET}
    values["canvas_px"] = state[RESOLUTION] + 2 * state["views.max_shift_px"]
    return Form(
        preset=state["preset"],
        methods=tuple(METHODS) if state["method"] == ALL_METHODS else (state["method"],),
        positive=prompts(state, "positive"),
        negative=prompts(state, "negative"),
        seed=int(state["seed"]),
        settings={**changed(state["preset"], values), **state[CARRIED]},
    )
