"""Objects that all sessions of the demo share, and access to a session's own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from das_ag.demo import archive
from das_ag.demo.downloads import Downloads
from das_ag.demo.form import NAME
from das_ag.demo.jobs import Job
from das_ag.demo.presets import Lack, lack_of
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


@st.cache_resource(show_spinner=False)
def downloads() -> Downloads:
    """The downloads of this process."""
    return Downloads()


@st.cache_resource(ttl=60, show_spinner="Looking for the models…")
def lack(models: tuple[str, ...]) -> Lack | None:
    """What the models of a configuration lack here; None if they can run."""
    return lack_of(models)


@st.cache_data(ttl=60, show_spinner=False)
def seconds_per_view(preset: str) -> float | None:
    """Time of a view in a step on this machine, from the images in the store; None if a preset has none there."""
    return archive.seconds_per_view(store(), preset)


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
