"""The sidebar with the parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable

import streamlit as st

from das_ag.demo import shared, state
from das_ag.demo.form import TERMS, settings_of
from das_ag.demo.presets import PRESETS
from das_ag.demo.words import escaped
from das_ag.generation.outlook import clock
from das_ag.models.files import size_in_words, total_bytes
from das_ag.models.precision import PRECISIONS
from das_ag.settings.plan import RANDOMNESS
from das_ag.synthesis.pyramid import COMBINE, GAMUTS, INITIAL, LEVELS
from das_ag.synthesis.resize import INTERPOLATIONS
from das_ag.synthesis.schedules import KINDS

RESOLUTIONS_PX = (224, 448)
"""Image sizes that suit CLIP's input size; the list also gets the preset's size."""


def show_sidebar() -> None:
    """Shows all settings except prompts and method."""
    with st.sidebar:
        _preset()
        with st.expander("Image", expanded=True):
            _image()
        with st.expander("Aesthetic guidance", expanded=True):
            _schedule("objective.aesthetic", "Weight")
        with st.expander("Seed", expanded=True):
            _seed()
        with st.expander("Views and augmentation"):
            _views()
        with st.expander("Further terms of the objective"):
            _terms()
        with st.expander("Pyramid and numerics"):
            _numerics()
        _carried()


def _preset() -> None:
    st.radio(
        "Preset: models and their settings", PRESETS, format_func=lambda name: PRESETS[name].title, key="preset",
        captions=[escaped(_outlook(name)) for name in PRESETS], on_change=lambda: state.reset(st.session_state),
        help="Times are those of two CPU cores until this machine has made an image with these models.",
    )  # fmt: skip
    st.button(
        "Reset parameters", icon=":material/restart_alt:", width="stretch",
        on_click=lambda: state.reset(st.session_state), help="Restores the preset’s values; keeps prompts and seed.",
    )  # fmt: skip


def _outlook(name: str) -> str:
    """Whether a preset can run here, what it would download, and how long an image takes."""
    preset, lack = PRESETS[name], shared.lack(PRESETS[name].overrides)
    time = f"about {clock(preset.seconds(shared.seconds_per_view(name)))} an image".replace(" ", "\N{NO-BREAK SPACE}")
    if lack is None:
        return f"ready, {time}"
    if lack.problem:
        return "not available here"
    size = total_bytes(lack.files)
    return f"{size_in_words(size) if size else 'files'} to download, {time}"


def _image() -> None:
    usual = settings_of(PRESETS[st.session_state["preset"]])
    own = usual["canvas_px"] - 2 * usual["views.max_shift_px"]
    sides = sorted({own, *RESOLUTIONS_PX, st.session_state[state.RESOLUTION]})
    st.selectbox("Resolution", sides, format_func=lambda side: f"{side} × {side} px", key=state.RESOLUTION)
    st.number_input("Steps", min_value=1, step=10, key="steps", help="Number of Adam steps.")
    _number("learning_rate", "Learning rate", "Learning rate of the first step; it decreases along a cosine.")
    _number("objective.clip", "Similarity weight", "Weight of the similarity to the prompts.")


def _schedule(name: str, label: str) -> None:
    """Shows the widgets of a schedule; `label` names them for screen readers."""
    start, end = st.columns(2, gap="small")
    with start:
        _number(f"{name}.start", f"{label}, start")
    with end:
        _number(f"{name}.end", f"{label}, end")
    _choice(f"{name}.kind", f"{label}, schedule", KINDS)
    st.number_input(
        f"{label}, decay rate", min_value=0.0, max_value=1.0, step=0.01, format="%g", key=f"{name}.rate",
        disabled=not str(st.session_state[f"{name}.kind"]).startswith("exponential"), help="For exponential schedules.",
    )  # fmt: skip


def _seed() -> None:
    st.radio("Seed", state.SEED_MODES, horizontal=True, key="seed mode", label_visibility="collapsed")
    is_random = st.session_state["seed mode"] == "random"
    st.number_input(
        "Last random seed" if is_random else "Seed", min_value=0, max_value=state.MAX_SEED, step=1, key="seed",
        disabled=is_random, help="The same seed gives each method the same random numbers.",
    )  # fmt: skip


def _views() -> None:
    st.number_input(
        "Views in a step (batch size)",
        min_value=1,
        step=1,
        key="views.count",
        help="More views: slower steps, smoother images.",
    )
    st.toggle(
        "Augmentation", key="views.augment", help="Off: one plain view in each step, whatever the number of views."
    )
    st.number_input(
        "Maximum shift, px", min_value=0, step=1, key="views.max_shift_px", help="Also the width of the image’s border."
    )
    _schedule("views.noise", "Noise")
    _schedule("views.colour_shift", "Colour")


def _terms() -> None:
    """Shows a weight for each term; its docstring explains it."""
    for name, term in TERMS.items():
        _number(f"objective.{name}", name.replace("_", " ").capitalize(), (inspect.getdoc(term) or "").split("\n")[0])


def _numerics() -> None:
    st.toggle(
        "Deterministic", key="runtime.deterministic",
        help="On: the same bytes each time on this machine. Off: faster on some GPUs.",
    )  # fmt: skip
    _choice("pyramid.interpolation", "Interpolation", INTERPOLATIONS)
    _choice("gamut", "Gamut", GAMUTS)
    _choice("pyramid.levels", "Levels", LEVELS)
    _choice("pyramid.combine", "Levels are combined by", COMBINE)
    _choice("pyramid.initial", "Initial levels", INITIAL)
    _choice("runtime.precision", "Precision of the guide", PRECISIONS)
    _choice("randomness", "Random numbers", RANDOMNESS)


def _carried() -> None:
    """Lists settings of a stored sample that have no widget."""
    for name, value in st.session_state[state.CARRIED].items():
        st.caption(escaped(f"Also set: {name} = {value}"))


def _number(name: str, label: str, help: str | None = None) -> None:
    value = st.session_state[name] = float(st.session_state[name])
    st.number_input(label, min_value=0.0, step=_step(value), format="%g", key=name, help=help)


def _step(value: float) -> float:
    """A tenth of the number's order of magnitude."""
    return 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 0.1


def _choice(name: str, label: str, choices: Iterable[str]) -> None:
    st.selectbox(label, list(choices), format_func=lambda choice: str(choice).replace("_", " "), key=name)
