"""The demo: uv run --extra app streamlit run src/das_ag/app.py."""

from __future__ import annotations

import os

from das_ag.settings import environment

environment.prepare()  # before anything imports torch
# Threads that wait for work by spinning starve the server and each other where cores are few.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from das_ag.demo.page import show_page  # noqa: E402

show_page()
