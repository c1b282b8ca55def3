"""Asks before a download of missing weights, and shows its progress."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from das_ag.demo import shared
from das_ag.demo.downloads import Download
from das_ag.demo.presets import Lack
from das_ag.demo.words import escaped
from das_ag.evaluation.readiness import look
from das_ag.models.download import is_offline
from das_ag.models.files import Source, size_in_words, size_of, total_bytes

POLL_S = 1.0
"""Interval of updates; a download may start or end in another tab."""


@st.fragment(run_every=POLL_S)
def show_missing(lack: Lack) -> None:
    """Says what is missing, and offers the download; redraws the whole page when all is there."""
    if lack.files and all(file.is_there() for file in lack.files):
        shared.lack.clear()
        st.rerun()
    if lack.problem:
        shared.complain(lack.problem)
        return
    download = shared.downloads().latest
    with st.container(border=True, key="das-missing"):
        if download is not None and not download.is_over:
            _show_progress(download)
        else:
            _ask(lack)
    if download is not None and download.message and set(download.files) & set(lack.files):
        shared.complain(download.message)


def _ask(lack: Lack) -> None:
    total = total_bytes(lack.files)
    size = f" {size_in_words(total)}" if total else ""
    st.markdown(f"**This preset needs{escaped(size) or ' files'} that this machine does not have. Download now?**")
    st.caption("  \n".join(escaped(_described(file)) for file in lack.files))
    if is_offline():
        st.caption("The variable HF\\_HUB\\_OFFLINE forbids downloads; unset it and start the demo again.")
        return
    st.button(
        f"Download{size}", type="primary", icon=":material/download:", key="download",
        on_click=shared.downloads().start, args=(lack.files,),
    )  # fmt: skip


def _described(file: Source) -> str:
    place = str(look(file).place).replace(str(Path.home()), "~")
    return f"{file.what} · {size_of(file)} · licence {file.licence} · goes to {place}"


def _show_progress(download: Download) -> None:
    names = ", ".join(file.what for file in download.files)
    st.markdown(f"**{escaped(f'Downloading {names}')}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(download.progress, text=escaped(download.told))
        st.button(
            "Stop", icon=":material/stop:", key="stop download", on_click=download.stop, disabled=download.is_stopping,
            help="Keeps what has arrived; the next download continues there.",
        )  # fmt: skip
