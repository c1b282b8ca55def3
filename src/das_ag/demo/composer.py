"""Prompts, method, and the start button."""

from __future__ import annotations

import streamlit as st

from das_ag.demo import shared, state, words
from das_ag.demo.form import Form
from das_ag.demo.jobs import Job
from das_ag.demo.presets import PRESETS, files_of
from das_ag.errors import UserError, counted
from das_ag.generation.outlook import clock
from das_ag.methods import METHODS
from das_ag.models.registry import GuideChoice

_LABELS = {"positive": "Prompt", "negative": "Negative prompt"}


@st.fragment
def show_composer(is_busy: bool) -> None:
    """Shows the inputs of a run; a fragment, so that typing does not redraw the rest of the page.

    Args:
        is_busy: whether a run of this session is in progress.
    """
    preset = PRESETS[st.session_state["preset"]]
    for kind in state.KINDS_OF_PROMPT:
        _prompts(kind, preset.guide)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _examples()
        st.button("Prompt", icon=":material/add:", on_click=state.add_prompt, args=(st.session_state, "positive"))
        st.button(
            "Negative prompt", icon=":material/add:", on_click=state.add_prompt, args=(st.session_state, "negative")
        )
    form = state.form_in(st.session_state)
    _begin(form, is_busy)
    _complain(form)
    _take_along(form)


def _prompts(kind: str, guide: GuideChoice) -> None:
    numbers = st.session_state[f"{kind} prompts"]
    removable = kind == "negative" or len(numbers) > 1
    for place, number in enumerate(numbers, start=1):
        label = _LABELS[kind] + (f" {place}" if len(numbers) > 1 else "")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.text_input(label, key=f"{kind} {number}", live="250ms", placeholder="a volcano")
            if removable:
                st.button(
                    "Remove", key=f"remove {kind} {number}", icon=":material/close:", help=f"Remove {label.lower()}",
                    on_click=state.remove_prompt, args=(st.session_state, kind, number),
                )  # fmt: skip
        if told := words.lost(guide.lost_words(st.session_state[f"{kind} {number}"] or "")):
            st.html(told)


def _examples() -> None:
    examples = PRESETS[st.session_state["preset"]].examples()

    def take() -> None:
        if name := st.session_state["example"]:
            positive, negative = examples[name]
            state.put_prompts(st.session_state, "positive", (positive,))
            state.put_prompts(st.session_state, "negative", negative)
            st.session_state["example"] = None

    st.selectbox(
        "Start from an example", examples, index=None, key="example", on_change=take, placeholder="Choose a prompt",
        width=260,
    )  # fmt: skip


def _begin(form: Form, is_busy: bool) -> None:
    choices = {state.ALL_METHODS: "All", **{name: method.title for name, method in METHODS.items()}}
    with st.container(horizontal=True, vertical_alignment="bottom", key="das-begin"):
        st.segmented_control("Method", choices, format_func=choices.__getitem__, key="method", required=True)
        lacks, is_empty = shared.lack(form.models) is not None, not form.positive
        st.button(
            "Generate", type="primary", icon=":material/auto_awesome:", key="generate", on_click=_start,
            disabled=lacks or is_busy or is_empty, help="The models of this preset are missing." if lacks else None,
        )  # fmt: skip
        st.button(
            "Surprise me", icon=":material/casino:", key="surprise", on_click=_surprise,
            disabled=lacks or is_busy, help="Draws a prompt and a seed, and generates.",
        )  # fmt: skip
    if is_empty:
        st.caption("Write a prompt, or start from an example.")
    elif not lacks:
        st.caption(_expected(form))
    if st.session_state.pop("begun", False):
        st.rerun()  # the whole page, since the run is outside this fragment


def _expected(form: Form) -> str:
    """How many images a click makes, and how long they take."""
    per_view = shared.seconds_per_view(form.preset)
    where = "on this machine" if per_view else "on two CPU cores"
    return f"{counted(len(form.methods), 'image')}, about {clock(form.seconds(per_view))} {where}."


def _start() -> None:
    """Starts the run that the form describes, or says why it cannot."""
    st.session_state["complaint"] = None
    running = shared.job()
    if running is not None and not running.is_over:
        return
    state.draw_seed(st.session_state)
    form = state.form_in(st.session_state)
    try:
        _check_files(form)
        job = Job(form.plans(), shared.turns(), shared.evaluators())
    except UserError as error:
        st.session_state["complaint"] = form, words.without_option(str(error))
        return
    st.session_state["job"], st.session_state["begun"] = job, True
    job.start()


def _check_files(form: Form) -> None:
    """Looks for the weights again, since the run would download what was deleted meanwhile."""
    if missing := ", ".join(file.what for file in files_of(form.models) if not file.is_there()):
        shared.lack.clear()
        raise UserError(f"{missing}: the weights are missing; download them first.")


def _surprise() -> None:
    state.surprise(st.session_state)
    _start()


def _complain(form: Form) -> None:
    """Says why the last attempt failed, until the form changes."""
    refused, complaint = st.session_state.get("complaint") or (None, "")
    if refused == form:
        shared.complain(complaint)
    else:
        st.session_state["complaint"] = None


def _take_along(form: Form) -> None:
    """Offers the same run as a command and as a file."""
    with st.expander("As a command line", icon=":material/terminal:"):
        st.caption("This command makes the same images, byte for byte, in the same folder.")
        st.code(form.command(), language="bash", wrap_lines=True)
        st.download_button(
            "Download settings", form.to_json(), file_name="das-settings.json", mime="application/json",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
