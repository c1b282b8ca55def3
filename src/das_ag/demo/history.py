"""The history tab: filters, compares, reuses and deletes the images of the store."""

from __future__ import annotations

import streamlit as st

from das_ag.demo import archive, shared, state, words
from das_ag.demo.archive import Entry
from das_ag.demo.form import form_of
from das_ag.errors import UserError
from das_ag.methods import METHODS, method_of, methods_of
from das_ag.store.store import Store

CREATE, HISTORY = "Create", "History"
"""The page's tabs."""
PER_PAGE = 12
_IN_ROW = 4


def show_history() -> None:
    """Shows the images, newest first."""
    store = shared.store()
    found, damaged = archive.entries(store)
    st.header("History", anchor=False)
    for complaint in damaged:
        shared.complain(complaint)
    if not found:
        st.info("No images yet. New images appear here, newest first.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        titles = {m.name: m.title for m in methods_of([*METHODS, *(entry.sample.method for entry in found)])}
        methods = st.pills("Method", titles, format_func=titles.__getitem__, selection_mode="multi", key="methods")
        text = st.text_input("Words in the prompt", live="250ms", key="words", icon=":material/search:")
    shown = archive.chosen(found, methods, text or "")
    st.caption(f"{len(shown)} of {len(found)} images in {store.root}")
    _comparison(store, found)
    _page(store, shown)
    if complaint := st.session_state.pop("history complaint", ""):
        shared.complain(complaint)


def _page(store: Store, shown: list[Entry]) -> None:
    pages = max(1, -(-len(shown) // PER_PAGE))
    page = min(st.session_state.get("page", 1), pages)
    some = shown[(page - 1) * PER_PAGE : page * PER_PAGE]
    for first in range(0, len(some), _IN_ROW):
        for column, entry in zip(st.columns(_IN_ROW), some[first : first + _IN_ROW], strict=False):
            with column, st.container(border=True):
                _card(store, entry)
    if pages > 1:
        st.pagination(pages, key="page")


def _card(store: Store, entry: Entry) -> None:
    sample = entry.sample
    st.html(words.heading(sample.method, shared.theme()))
    try:
        png = entry.image(store)
    except UserError as error:
        shared.complain(str(error))
        return
    st.image(png, width="stretch", alt=words.described(sample, entry.mark))
    st.html(words.scores(entry))
    st.text(words.prompt_of(sample))
    st.caption(f"seed {sample.seed} · {words.ago(entry.made_at)}")
    st.checkbox("Compare", key=f"compare {entry.id}")
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Use settings", key=f"use {entry.id}", icon=":material/tune:", on_click=_use, args=(entry,),
            help="Fills the form with the prompts, method, seed and parameters of this image.",
        )  # fmt: skip
        st.download_button(
            "PNG", png, file_name=entry.file_name("png"), mime="image/png", key=f"history png {entry.id}",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        with st.popover("Delete", icon=":material/delete:"):
            st.write("Delete this image permanently?")
            st.button("Yes, delete it", key=f"delete {entry.id}", type="primary", on_click=_delete, args=(entry,))


def _use(entry: Entry) -> None:
    try:
        state.put(st.session_state, form_of(entry.sample))
    except UserError as error:
        st.session_state["history complaint"] = str(error)
        return
    st.session_state["seed mode"], st.session_state["tab"] = "fixed", CREATE


def _delete(entry: Entry) -> None:
    try:
        archive.remove(shared.store(), entry)
    except UserError as error:
        st.session_state["history complaint"] = str(error)


def _comparison(store: Store, found: list[Entry]) -> None:
    """Shows two images side by side, and their differences."""
    picked = [entry for entry in found if st.session_state.get(f"compare {entry.id}")]
    if not picked:
        return
    with st.container(border=True):
        st.subheader("Comparison", anchor=False)
        if len(picked) != 2:
            more = "Choose one more image to compare." if len(picked) == 1 else "Choose exactly two images to compare."
            st.caption(more)
            return
        for side, column, entry in zip("AB", st.columns(2), picked, strict=True):
            with column:
                st.caption(f"{side}: {method_of(entry.sample.method).title}")
                st.image(entry.image(store), width="stretch", alt=words.described(entry.sample, entry.mark))
                st.html(words.scores(entry))
        st.dataframe(archive.differences(picked[0].sample, picked[1].sample), hide_index=True, width="stretch")
