"""Objects that all sessions of the demo share, and access to a session's own."""

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
    """The turns for all runs of this process."""
    return Turns()


@st.cache_resource(show_spinner=False)
def evaluators() -> dict[Any, Any]:
    """Loaded evaluators, for `Job`."""
    return {}


@st.cache_data(ttl=60, show_spinner="Looking for the models…")
def reason_against(preset: str) -> str | None:
    """A sentence on why a preset cannot run here; None if it can."""
    why = why_not(preset)
    return f"{why} To see what is missing, run: {CHECK}" if why else None


def store() -> Store:
    """The store of the images."""
    return Store(output_folder(NAME, "outputs"))


def job() -> Job | None:
    """The session's own run, in progress or finished."""
    return st.session_state.get("job")


def theme() -> str:
    """The browser's theme, light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def complain(message: str) -> None:
    """Shows a sentence about an error."""
    st.error(escaped(message), icon=":material/error:")
