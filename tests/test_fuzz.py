"""Settings, recipes and files of a store with arbitrary values: no traceback, and nothing changed on disk."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import shutil
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st

from das_ag import cli
from das_ag.demo.archive import entries
from das_ag.errors import UserError
from das_ag.generation.generate import generate
from das_ag.report import score_table
from das_ag.report.gallery.content import page_content
from das_ag.report.traces import trace_table
from das_ag.settings import environment
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.store.files import encode_png
from das_ag.store.store import Store

FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

NUMBERS = st.one_of(
    st.integers(-3, 600),
    st.floats(),
    st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400, 1e-30, 1e300]),
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "../../x", "/dev/zero", "${oc.env:HOME}", "${half:4}", "$x$", "\0", "\ud800", "5", "null", "???"]
    ),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
)
"""What JSON can hold, and NaN."""


@pytest.fixture(autouse=True, scope="module")
def _leave_nothing_behind(tmp_path_factory):
    configuration.set_hypothesis_home_dir(tmp_path_factory.mktemp("hypothesis"))


def places(value, place=()):
    """The place of each value in nested groups and lists, the whole included."""
    found = [place]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        found += places(item, (*place, name))
    return found


@st.composite
def changed(draw, whole):
    """The values with one or two of them replaced, left out, or with a name more."""
    value = [copy.deepcopy(whole)]  # in a list, so that the whole can be replaced too
    for _ in range(draw(st.integers(1, 2))):
        *way, last = draw(st.sampled_from([(0, *place) for place in places(value[0])]))
        group = value
        for name in way:
            group = group[name]
        if draw(st.integers(0, 4)) == 0 and last != 0 and isinstance(group, dict):
            del group[last]
        else:
            group[last] = draw(VALUES)
        if isinstance(group, dict) and draw(st.integers(0, 9)) == 0:
            group[draw(TEXTS)] = draw(VALUES)
    return value[0]


@st.composite
def damaged(draw, data):
    """Bytes with a part cut off or replaced."""
    first = draw(st.integers(0, len(data)))
    return data[:first] + draw(st.binary(max_size=6)) + data[draw(st.integers(first, len(data))) :]


def forged(entry):
    """The content of sample.json with the key of what it says now, as somebody who forges it would write it."""
    if not isinstance(entry, dict):
        return entry
    determining = {name: entry.get(name) for name in ("method", "positive", "negative", "seed", "settings")}
    text = json.dumps(determining, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return entry | {"key": hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()}


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def written(before, folder):
    """Paths whose content is another than `before`."""
    after = contents(folder)
    return {path for path in {*before, *after} if before.get(path, "") != after.get(path, "")}


def status_of(*arguments):
    """Exit status and stderr of a command, in this process; a traceback is raised."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        return cli.main(list(map(str, arguments))), said.getvalue()


@pytest.fixture(scope="module")
def plan(plan_of, tiny):
    options = ("prompts=own", "prompts.positive={heart: a red heart, star: a yellow star}", "method=das_ag", "steps=2")
    return plan_of(*tiny, *options, "runtime.threads=1")


@pytest.fixture(scope="module")
def made(plan, tmp_path_factory):
    """A store of two finished and scored samples."""
    store = Store(tmp_path_factory.mktemp("made") / "store")
    generate(plan, store)
    for record in store.records()[0]:
        store.write_score(
            record, "tiny", 6.0, "d" * 64, title="Tiny judge", weights={"judge": "1" * 64}, recognised=True
        )
    return store


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "DOTENV", tmp_path_factory.mktemp("no") / "no.env")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # which would else be set for good
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield


FILES = ("sample.json", "sample.json", "scores.json", "levels.npz", "trace.csv", "image.png")
TABLES = {"table.md", "table.csv", "table.tex"}
COMMANDS = {
    "table": ((), 10, TABLES),
    "plot": ((), 5, {"plots"}),
    "gallery": ((), 10, {*TABLES, "index.html"}),
    "score": (("evaluator=tiny", "runtime.device=cpu", "runtime.threads=1"), 10, {"scores.json", "claims"}),
    "verify": (("runtime.device=cpu",), 5, set()),
}
"""Arguments, number of examples, and names of the files that the command may write."""


def read_all(store):
    """Everything that commands read of a store; what is damaged is told in sentences."""
    records, _ = store.records()
    scores = score_table(records, "tiny")
    page_content(store.root, {"": store}, scores, "Tiny judge", "no table")
    trace_table(store, records)
    for record in records:
        for read in (store.read_levels, lambda record: store.read_image(record.image), store.read_trace):
            with contextlib.suppress(UserError):
                read(record)
    shown, _ = entries(store)
    assert [entry.sample for entry in shown if entry.sample.prompt_id == "star"]  # the whole one
    store.failures.errors()


def copy_of(store, folder):
    """A copy of the store, and its heart's folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(store.root, folder)
    (sample,) = (folder / "samples" / "das_ag").glob("heart-*")
    return Store(folder), sample


@st.composite
def damaged_file(draw, sample):
    """Damages one file of a sample on disk; returns its name."""
    name = draw(st.sampled_from(FILES))
    path = sample / name
    if name.endswith(".json") and draw(st.integers(0, 4)):
        value = draw(changed(json.loads(path.read_text())))
        path.write_text(json.dumps(forged(value) if name == "sample.json" else value))
    else:
        path.write_bytes(draw(damaged(path.read_bytes())))
    return name


@settings(FUZZ, max_examples=25)
@given(st.data())
def test_a_store_with_arbitrary_values_is_read_without_a_traceback(made, tmp_path, data):
    store, sample = copy_of(made, tmp_path / "store")
    data.draw(damaged_file(sample))
    before = contents(store.root)
    read_all(store)
    assert contents(store.root) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_all_commands_tell_a_damaged_file_alike(made, own_folder, tmp_path, monkeypatch, command):
    monkeypatch.setattr("das_ag.report.plots.write.save", lambda *_: None)  # drawing takes a second
    arguments, examples, own = COMMANDS[command]

    @settings(FUZZ, max_examples=examples)
    @given(st.data())
    def check(data):
        store, sample = copy_of(made, tmp_path / "store")
        name = data.draw(damaged_file(sample))
        records, told = store.records()
        told += store.damage(records)
        before = contents(store.root)
        with mock.patch.object(sys, "stdin", None):
            status, said = status_of(command, store.root, *arguments)
        if command == "score" and name == "scores.json":
            assert status == 0
            assert store.damage(store.records()[0]) == []  # scored again
        else:
            assert (status != 0) >= bool(told)
            assert all(said.count(sentence) == 1 for sentence in told)
            assert bool(said) >= (status == 1)
        assert {path for path in written(before, store.root) if path.name not in own} == set()

    check()


@FUZZ
@given(st.data())
def test_settings_with_arbitrary_values_are_told(compose, tiny, tmp_path, data):
    values = dict(compose(*tiny))  # groups are shared, and never changed: `changed` copies
    values = json.loads(json.dumps(data.draw(changed(_plain(values)))))
    before = contents(tmp_path)
    with contextlib.chdir(tmp_path), contextlib.suppress(UserError):
        make_plan(_config(values))
    assert contents(tmp_path) == before


def _plain(values):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.create(values), resolve=True)


def _config(values):
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.create(values if isinstance(values, dict) else {})
    except (OmegaConfBaseException, ValueError):
        return OmegaConf.create({})  # no command line gives names of this kind


@settings(FUZZ, max_examples=30)
@given(st.sampled_from(["steps", "seeds", "views.noise", "name", "models", "prompts.negative", "shard", "x"]), TEXTS)
def test_arguments_with_arbitrary_texts_are_told(tiny, name, text):
    with contextlib.suppress(UserError):
        make_plan(compose_config([*tiny, f"{name}={text}"]))


@settings(FUZZ, max_examples=50)
@given(st.data())
def test_a_recipe_with_arbitrary_values_is_told(made, own_folder, tmp_path, data):
    from das_ag.generation.recipe import read_recipe, text_of

    image = made.root / made.records()[0][0].image
    whole = json.loads(text_of(read_recipe(image))["Recipe"])
    text = json.dumps(data.draw(changed(whole)))
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8), {"Recipe": text}))
    before = contents(tmp_path)
    again = tmp_path / "again.png"
    with mock.patch.object(sys, "stdin", None):
        status, said = status_of("regenerate", path, "runtime.device=cpu", "--to", again)
    assert status in (1, 2)  # the picture is not the one of any recipe
    assert (status == 2) == (not again.exists())
    assert (status == 2) == bool(said)
    again.unlink(missing_ok=True)
    assert contents(tmp_path) == before


@settings(FUZZ, max_examples=20)
@given(st.data())
def test_a_damaged_image_is_told_by_regenerate(made, own_folder, tmp_path, data):
    path, again = tmp_path / "image.png", tmp_path / "again.png"
    path.write_bytes(data.draw(damaged((made.root / made.records()[0][0].image).read_bytes())))
    before = contents(tmp_path)
    status, said = status_of("regenerate", path, "runtime.device=cpu", "--to", again)
    assert status in (0, 1, 2)
    assert (status == 2) == (not again.exists()) == bool(said)
    assert written(before, tmp_path) <= {again}
    again.unlink(missing_ok=True)
