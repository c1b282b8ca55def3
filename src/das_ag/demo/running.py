"""Shows a run in progress: its progress, images, curves, and the Stop button."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from das_ag.demo import charts, shared, words
from das_ag.demo.jobs import Job, State, Track
from das_ag.generation.outlook import clock

POLL_S = 0.5
"""Interval of updates: previews change at most this often."""


@st.fragment(run_every=POLL_S)
def show_running(job: Job) -> None:
    """Shows the current state of the run; redraws the whole page when the run ends."""
    if job.is_over:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.progress, text=_told(job))
        st.button(
            "Stop", icon=":material/stop:", key="stop", on_click=job.stop, disabled=job.is_stopping,
            help="Stops the run and keeps the current images.",
        )  # fmt: skip
    theme = shared.theme()
    for column, track in zip(st.columns(_columns(job)), job.tracks, strict=False):
        with column:
            st.html(words.heading(track.sample.method, theme))
            _canvas(track)
    traces = {t.sample.method: pd.DataFrame(list(t.trace)) for t in job.tracks}
    if any(map(len, traces.values())):
        show_curves(traces, job.tracks[0].steps)


def show_curves(traces: Mapping[str, pd.DataFrame], steps: int) -> None:
    """Shows similarity, aesthetic score and further terms by step, two in a row.

    Args:
        traces: one per method; together at least one step.
    """
    places = st.columns(2)
    for number, column in enumerate(charts.shown(traces)):
        with places[number % 2]:
            svg = charts.curves(traces, column, steps, shared.theme())
            st.image(svg, width="stretch", alt=charts.described(traces, column))


def _columns(job: Job) -> int:
    """At least two, so that a single image does not fill the page."""
    return max(len(job.tracks), 2)


def _told(job: Job) -> str:
    if job.is_stopping:
        return "Stopping after this step…"
    track = next((track for track in job.tracks if not track.is_over), job.tracks[0])
    if track.state is State.ELSEWHERE:
        return "Another run is making this image…"
    if track.state is State.WAITING:
        return "Waiting for another run…" if job.progress else "Loading the models…"
    left = job.seconds_left()
    return f"Step {track.done} of {track.steps}" + (f", {clock(left)} left" if left is not None else "")


def _canvas(track: Track) -> None:
    if track.preview is not None:
        st.image(track.preview, width="stretch", alt=f"Canvas after step {track.done}")
        last = track.trace[-1]
        st.caption(f"similarity {last['positive']:.3f}, aesthetic {10 * last['aesthetic']:.2f}")
    elif track.is_over:
        st.caption(track.state.value)
    else:
        st.skeleton(height=224)
