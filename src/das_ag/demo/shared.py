"""What all sessions of the demo share, and where a session keeps its own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from das_ag.demo.form import NAME
from das_ag.demo.jobs import Job
from das_ag.demo.presets import CHECK, why_not
from das_ag.demo.turns import Turns
from das_ag.demo.words import escaped
from das_ag.settings.plan import output_folder
from das_ag.store.store import Store


@st.cache_resource(show_spinner=False)
def turns() -> Turns:
    """The turns that all runs of this process take."""
    return Turns()


@st.cache_resource(show_spinner=False)
def evaluators() -> dict[Any, Any]:
    """Evaluators that are loaded, for `Job`."""
    return {}


@st.cache_data(ttl=60, show_spinner="Looking for the models…")
def reason_against(preset: str) -> str | None:
    """Why a preset cannot run here, a sentence; None where it can."""
    why = why_not(preset)
    return f"{why} What is missing: {CHECK}" if why else None


def store() -> Store:
    """Where the images are kept."""
    return Store(output_folder(NAME))


def job() -> Job | None:
    """The session's own run, going on or over."""
    return st.session_state.get("job")


def theme() -> str:
    """Light or dark, as the browser shows it."""
    return "dark" if st.context.theme.type == "dark" else "light"


def complain(message: str) -> None:
    """Shows a sentence about what went wrong."""
    st.error(escaped(message), icon=":material/error:")
