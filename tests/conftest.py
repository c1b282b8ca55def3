"""Shared fixtures: the real configuration, run.py as a process, made-up stores."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch reads it when it is imported
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # cores that a run may use: the tests run beside each other

import numpy as np
import pytest
import torch
from run_server import RunServer

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from das_ag.settings.plan import Plan
    from das_ag.store.samples import Sample
    from das_ag.store.store import Store

ROOT = Path(__file__).parents[1]
TINY_MODELS = ("models=tiny", "evaluator=tiny", "prompts=shapes", "name=tiny")
"""Overrides for a configuration that needs no weights; see tiny_models.py."""


def pytest_configure(config: pytest.Config) -> None:
    # As in environment.prepare(). The package itself must be imported later, so that its annotations are checked.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Programs that tests start, and their child processes, need the tiny models and their configuration.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "tests"), os.environ.get("PYTHONPATH")]))
    # OmegaConf's DictConfig derives from typing.MutableMapping, and beartype warns about it in each signature.
    # Therefore fixtures import the package's modules after this filter is set.
    config.addinivalue_line("filterwarnings", "ignore::beartype.roar.BeartypeDecorHintPep585DeprecationWarning")


@pytest.fixture(scope="session")
def conf_folder() -> Path:
    return ROOT / "conf"


@pytest.fixture(scope="session")
def compose() -> Callable[..., DictConfig]:
    """Composes the real configuration with the tiny models and with overrides."""
    from das_ag.settings.configuration import compose_config

    composed = functools.cache(compose_config)  # composing takes 0.1 s
    return lambda *overrides: copy.deepcopy(composed((*TINY_MODELS, *overrides)))


@pytest.fixture(scope="session")
def compose_paper() -> Callable[..., DictConfig]:
    """Composes the published experiment with overrides."""
    from das_ag.settings.configuration import compose_config

    return lambda *overrides: compose_config(("experiment=paper", *overrides))


@pytest.fixture(scope="session")
def plan_of(compose: Callable[..., DictConfig]) -> Callable[..., Plan]:
    from das_ag.settings.plan import make_plan

    return lambda *overrides: make_plan(compose(*overrides))


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides for steps of milliseconds; they fix settings whose defaults may change."""
    return (
        *TINY_MODELS,
        "canvas_px=32",
        "steps=3",
        "learning_rate=0.4",
        "views.count=2",
        "views.max_shift_px=2",
        "views.noise={kind: exponential_decay, start: 0.4, end: 0.1, rate: 0.03}",
        "objective.aesthetic={kind: exponential_decay, start: 0.0, end: 3.0, rate: 0.06}",
        "objective.total_variation=10",
        "runtime.device=cpu",
        "runtime.threads=1",  # small pictures gain nothing from two, which wait for each other on a busy machine
    )


@pytest.fixture(scope="session")
def start_program() -> Callable[..., subprocess.Popen[str]]:
    """Starts run.py in a folder, where it creates outputs/; `python` holds flags of the interpreter."""

    def start(folder: Path, *arguments: str, python: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
        hydra_folder = folder.with_name(f"{folder.name}-temporary")
        hydra_folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, *python, str(ROOT / "run.py"), *arguments],
            cwd=folder,
            env={**inherited, "TMPDIR": str(hydra_folder), "PYTHONUTF8": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    return start


@pytest.fixture(scope="session")
def run_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunServer]:
    server = RunServer(tmp_path_factory.mktemp("run-server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def sample_of() -> Callable[..., Sample]:
    """A made-up sample; `steps` represents all of its settings."""
    from das_ag.methods import method_of
    from das_ag.store.samples import Sample

    def sample_of(
        prompt_id: str = "heart", *, method: str = "das", seed: int = 42, steps: int = 200, **changes: object
    ) -> Sample:
        values = {"positive": (f"a red {prompt_id}",), "negative": (), **changes}
        sign = method_of(method).aesthetic_sign or 0
        settings = {"ascent": {"steps": steps}, "objective": {"aesthetic_sign": sign}, "guide": {"family": "tiny"}}
        return Sample(method=method, prompt_id=prompt_id, seed=seed, settings=settings, **values)  # type: ignore[arg-type]

    return sample_of


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Writes a made-up sample, with the score if it is given; returns its folder."""

    def put(store: Store, sample: Sample, score: float | None = None, *, image: np.ndarray | None = None) -> Path:
        if image is None:
            image = np.full((5, 7, 3), sample.seed % 256, dtype=np.uint8)
        result = {"guide_aesthetic_score": 5.5, "clip_positive": 0.25, "clip_negative": 0.0}
        store.write(sample, image, [{"step": 0.0, "loss": 1.5}], result, {"device": "cpu"})
        folder = store.root / sample.folder
        if score is not None:
            sha256 = json.loads((folder / "sample.json").read_text())["image_sha256"]
            entry = {"score": score, "digest": "d" * 64, "image_sha256": sha256, "title": "Tiny judge"}
            scores = {"tiny": entry}
            (folder / "scores.json").write_text(json.dumps(scores))
        return folder

    return put


@pytest.fixture
def old_store(tmp_path: Path) -> Store:
    """A store as version 0.1.0 made it with its embedded models, which no longer exist."""
    from das_ag.store.samples import Sample
    from das_ag.store.store import Store

    decay = {"kind": "exponential_decay", "rate": 0.03}
    settings = {
        "pyramid": {
            "canvas_px": 128, "levels": "powers_of_two", "max_level_px": 128, "combine": "mean",
            "initial": "scaled_noise", "interpolation": "bilinear", "gamut": "full",
        },
        "views": {
            "count": 8, "max_shift_px": 16, "noise": {**decay, "start": 0.8, "end": 0.3},
            "colour_shift": {**decay, "start": 0.1, "end": 0.1}, "augment": True,
        },
        "ascent": {"steps": 100, "learning_rate": 0.4, "betas": [0.5, 0.99]},
        "guide": {"family": "embedded"}, "precision": "float32", "deterministic": True,
        "randomness": "per_sample", "revision": 4,
        "weights": {"guide": "c9d60f67a017e39e16dbda5a9ec51c68c3f79e2f7c4790f2b7272cb7077b93f7"},
    }  # fmt: skip
    weight = {"kind": "exponential_decay", "start": 0.0, "end": 5.0, "rate": 0.06}
    judge = {"title": "Embedded judge", "version": "0.1.0", "weights": {"judge": "1eda9bc3" * 8}}
    provenance = {"device": "cpu", "samples_per_batch": 1, "row": 0, "views_per_pass": 64, "threads": 1}
    result = {"guide_aesthetic_score": 5.5, "clip_positive": 0.25, "clip_negative": 0.0}
    trace = [{"step": 0.0, "loss": 1.5, "aesthetic": 0.5, "positive": 0.2, "negative": 0.0}]
    store = Store(tmp_path / "old")
    for method, sign in (("das", 0), ("das_ag", 1), ("das_rag", -1)):
        objective = {
            "aesthetic": weight if sign else None, "aesthetic_sign": sign, "clip": 5.0, "total_variation": 3.0,
            "l1": 0.0,
        }  # fmt: skip
        sample = Sample(method, "heart", ("a red heart",), (), 42, {**settings, "objective": objective})
        image = np.full((96, 96, 3), 100 + 50 * sign, dtype=np.uint8)
        store.write(sample, image, trace, result, provenance)
    for record in store.records()[0]:
        store.write_score(record, "embedded", 6.0, "1eda9bc3" * 8, **judge)
    return store


@pytest.fixture
def store_of_two_texts(tmp_path: Path, sample_of: Callable[..., Sample], put: Callable[..., Path]) -> Store:
    """One prompt id and seed: DAS with and without a negative prompt, DAS-AG without one, DAS-AG with another text."""
    from das_ag.store.store import Store

    store = Store(tmp_path / "two_texts")
    put(store, sample_of(), 5.0)
    put(store, sample_of(negative=("a blue square",)), 4.0)
    put(store, sample_of(method="das_ag"), 5.25)
    put(store, sample_of(method="das_ag", positive=("a green triangle",)), 7.0)
    return store


@pytest.fixture(autouse=True, scope="session")
def _compute_as_programs_do() -> None:
    from das_ag.vector_math import choose_kernels

    choose_kernels()


@pytest.fixture(autouse=True)
def _keep_torch_as_it_was() -> Iterator[None]:
    """Restores flags of the process that generation sets, so that other tests do not depend on them."""
    from das_ag.generation.machine import restored

    with restored():
        yield


@pytest.fixture(autouse=True, scope="module")
def _keep_the_number_of_threads() -> Iterator[None]:
    """Restores the number of threads, which generation sets, also in module fixtures."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser without a window; skips the test if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs a browser: $CHROMIUM, chromium, chromium-browser or google-chrome")
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with api.sync_playwright() as playwright:
        # For root, for instance in a container, Chromium starts only without its sandbox.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()
