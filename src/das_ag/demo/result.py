"""Shows a finished run: images with their scores, traces, films and levels."""

from __future__ import annotations

import streamlit as st

from das_ag.demo import shared, words
from das_ag.demo.archive import Entry, entry_of
from das_ag.demo.jobs import Job, State, Track
from das_ag.demo.levels import levels_html, levels_of
from das_ag.demo.running import show_curves
from das_ag.errors import UserError
from das_ag.store.store import Store

_TABS = ("Trace", "Film", "Pyramid", "Recipe")


def show_result(job: Job) -> None:
    """Shows the result of a job."""
    first = job.tracks[0].sample
    st.header("Result", anchor=False)
    st.text(f"{words.prompt_of(first)} · seed {first.seed}")
    shown = [(track, entry) for track in job.tracks if (entry := _entry(job.store, track))]
    best = _best([entry for _, entry in shown])
    for column, (track, entry) in zip(st.columns(max(len(shown), 2)), shown, strict=False):
        with column:
            _picture(job.store, track, entry, "highest" if entry is best else None)
    for track in job.tracks:
        if track.message:
            shared.complain(track.message)
    if job.is_stopping and not shown:
        st.info("Stopped before the first step; nothing was kept.", icon=":material/info:")
    if shown:
        _details(job.store, [entry for _, entry in shown])


def _entry(store: Store, track: Track) -> Entry | None:
    found = track.record or track.unfinished
    entry = entry_of(store, found) if found else None
    return entry if entry and entry.made_at else None  # deleted meanwhile


def _best(entries: list[Entry]) -> Entry | None:
    scored = [entry for entry in entries if entry.scores]
    return max(scored, key=lambda entry: next(iter(entry.scores.values()))) if len(scored) > 1 else None


def _picture(store: Store, track: Track, entry: Entry, best: str | None) -> None:
    st.html(words.heading(entry.sample.method, shared.theme()))
    try:
        png = entry.image(store)
    except UserError as error:
        shared.complain(str(error))
        return
    st.image(png, width="stretch", alt=words.described(entry.sample, entry.mark))
    st.html(words.scores(entry, best))
    st.download_button(
        "PNG", png, file_name=entry.file_name("png"), mime="image/png", key=f"png {entry.id}",
        icon=":material/download:", on_click="ignore", help="The file contains the recipe." if entry.record else None,
    )  # fmt: skip
    if track.state is State.FOUND:
        st.caption("Already in the store.")


@st.fragment
def _details(store: Store, entries: list[Entry]) -> None:
    tabs = dict(zip(_TABS, st.tabs(list(_TABS), key="details", on_change="rerun"), strict=True))
    shows = {"Trace": _traces, "Film": _films, "Pyramid": _pyramids, "Recipe": _recipes}
    for name, tab in tabs.items():
        with tab:
            if tab.open:
                try:
                    shows[name](store, entries)
                except UserError as error:
                    shared.complain(str(error))


def _traces(store: Store, entries: list[Entry]) -> None:
    traces = {entry.sample.method: entry.trace(store) for entry in entries}
    show_curves(traces, entries[0].sample.settings["ascent"]["steps"])


def _films(store: Store, entries: list[Entry]) -> None:
    for column, entry in zip(st.columns(max(len(entries), 2)), entries, strict=False):
        film = _film(store, entry)
        with column:
            if film is None:
                made = words.escaped(f"This command makes the film: das-ag film {store.root / entry.folder}")
                st.caption(made if entry.record else "A stopped image has no film.")
                continue
            st.image(film, width="stretch", alt=f"Film of the ascent. {words.described(entry.sample)}")
            st.download_button(
                "GIF", film, file_name=entry.file_name("gif"), mime="image/gif", key=f"gif {entry.id}",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip


@st.cache_data(show_spinner=False, max_entries=20, hash_funcs={Store: lambda s: s.root, Entry: lambda e: e.folder})
def _film(store: Store, entry: Entry) -> bytes | None:
    return entry.film(store)


def _pyramids(store: Store, entries: list[Entry]) -> None:
    st.caption("Upper row: each level alone; grey is 0. Lower row: the image from all levels up to this one.")
    for entry in entries:
        st.html(words.heading(entry.sample.method, shared.theme()))
        if entry.record is None:
            st.caption("A stopped image has no stored levels.")
            continue
        st.html(levels_html(levels_of(store, entry.record)))


def _recipes(store: Store, entries: list[Entry]) -> None:
    st.caption(f"Folders of the files in {store.root}:")
    for entry in entries:
        st.code(str(entry.folder), language=None, wrap_lines=True)
        with st.expander("All settings"):
            st.json(entry.sample.identity(), expanded=2)
