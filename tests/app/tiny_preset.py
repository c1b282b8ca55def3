"""A preset of the tiny models, with which the demo begins here; as a program it is `streamlit` with that preset."""

from __future__ import annotations

from das_ag.settings import environment

environment.prepare()  # as app.py does, before anything imports torch

from das_ag.demo.presets import PRESETS, Preset  # noqa: E402

TINY = Preset("Tiny models", ("models=tiny", "evaluator=tiny"), ("shapes", "shape_pairs"))


def put_first() -> None:
    others = dict(PRESETS)
    PRESETS.clear()
    PRESETS.update({"tiny": TINY, **others})


if __name__ == "__main__":
    from streamlit.web.cli import main

    put_first()
    main()
