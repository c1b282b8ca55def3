"""The page: parameters in the sidebar, and two tabs for new images and the history."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from das_ag.demo import composer, history, missing, result, running, shared, sidebar, state, words

STYLE = Path(__file__).parent / "page.css"


def show_page() -> None:
    """Draws the page again after each user action."""
    st.set_page_config(page_title="Direct Ascent Synthesis", page_icon="△", layout="wide")
    st.html(STYLE)
    state.begin(st.session_state)
    sidebar.show_sidebar()
    st.title("Direct Ascent Synthesis", anchor=False)
    st.caption(
        "Makes images from a text without a generator: gradient ascent changes the pixels until a frozen network sees "
        "what the text describes."
    )
    create, past = st.tabs([history.CREATE, history.HISTORY], key="tab", on_change="rerun")
    with create:
        _create()
    with past:
        if past.open:
            history.show_history()
    _footer()


def _create() -> None:
    job = shared.job()
    is_busy = job is not None and not job.is_over  # read once, so that all parts of the page agree
    if lack := shared.lack(state.form_in(st.session_state).models):
        missing.show_missing(lack)
    composer.show_composer(is_busy)
    if job is None:
        st.html(words.invitation(shared.theme()))
    else:
        (running.show_running if is_busy else result.show_result)(job)


def _footer() -> None:
    """Says whether the same settings give the same bytes."""
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG", "not set")
    if st.session_state["runtime.deterministic"]:
        told = "Deterministic mode is on: the same settings give the same bytes on this machine"
    else:
        told = "Deterministic mode is off: the same settings may give different bytes"
    st.caption(f"{told} · CUBLAS\\_WORKSPACE\\_CONFIG {workspace}".replace(":", "\\:"))
