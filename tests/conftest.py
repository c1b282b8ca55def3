"""What the tests of the pipeline share: the real configuration, run.py as a process, made-up stores."""

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

import numpy as np
import pytest
import torch
from run_server import RunServer

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from das_ag.experiment.plan import Plan
    from das_ag.experiment.samples import Sample
    from das_ag.experiment.store import Store

ROOT = Path(__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    # As environment.prepare() does; the package itself is imported later, so that its annotations are checked.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # OmegaConf's DictConfig derives from typing.MutableMapping, of which beartype warns wherever it stands in a
    # signature. The modules of the package are therefore imported below, after this has been said.
    config.addinivalue_line("filterwarnings", "ignore::beartype.roar.BeartypeDecorHintPep585DeprecationWarning")


@pytest.fixture(scope="session")
def conf_folder() -> Path:
    return ROOT / "conf"


@pytest.fixture(scope="session")
def compose() -> Callable[..., DictConfig]:
    """The real configuration with overrides."""
    from das_ag.experiment.configuration import compose_config

    composed = functools.cache(compose_config)  # a tenth of a second each
    return lambda *overrides: copy.deepcopy(composed(overrides))


@pytest.fixture(scope="session")
def plan_of(compose: Callable[..., DictConfig]) -> Callable[..., Plan]:
    from das_ag.experiment.plan import make_plan

    return lambda *overrides: make_plan(compose(*overrides))


@pytest.fixture
def with_a_compiler(monkeypatch):
    """As if torch found a C++ compiler here."""
    monkeypatch.setattr("das_ag.experiment.plan.check_compiler", lambda *_: None)


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides under which a step takes milliseconds; they also hold what defaults may come to be."""
    return (
        "canvas_px=32",
        "steps=3",
        "learning_rate=0.4",
        "views.count=2",
        "views.max_shift_px=2",
        "views.noise={kind: exponential_decay, start: 0.4, end: 0.1, rate: 0.03}",
        "objective.aesthetic={kind: exponential_decay, start: 0.0, end: 3.0, rate: 0.06}",
        "objective.total_variation=10",
        "runtime.device=cpu",
        "runtime.threads=1",  # pictures this small do not gain from two, which wait for each other on a busy machine
    )


@pytest.fixture(scope="session")
def start_program() -> Callable[..., subprocess.Popen[str]]:
    """Starts run.py in a folder, below which it makes its outputs/; `python` holds flags of the interpreter."""

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
    """A made-up sample; `steps` stands for all of its settings."""
    from das_ag.experiment.samples import Sample

    def sample_of(
        prompt_id: str = "heart", *, method: str = "das", seed: int = 42, steps: int = 200, **changes: object
    ) -> Sample:
        values = {"positive": (f"a red {prompt_id}",), "negative": (), **changes}
        sign = {"das": 0, "das_ag": 1, "das_rag": -1}.get(method, 0)
        settings = {"ascent": {"steps": steps}, "objective": {"aesthetic_sign": sign}, "guide": "embedded"}
        return Sample(method=method, prompt_id=prompt_id, seed=seed, settings=settings, **values)  # type: ignore[arg-type]

    return sample_of


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Writes a made-up sample, with a score where one is given; returns its folder."""

    def put(store: Store, sample: Sample, score: float | None = None, *, image: np.ndarray | None = None) -> Path:
        if image is None:
            image = np.full((5, 7, 3), sample.seed % 256, dtype=np.uint8)
        result = {"guide_aesthetic_score": 5.5, "clip_positive": 0.25, "clip_negative": 0.0}
        store.write(sample, image, [{"step": 0.0, "loss": 1.5}], result, {"device": "cpu"})
        folder = store.root / sample.folder
        if score is not None:
            sha256 = json.loads((folder / "sample.json").read_text())["image_sha256"]
            entry = {"score": score, "digest": "d" * 64, "image_sha256": sha256, "title": "Embedded judge"}
            scores = {"embedded": entry}
            (folder / "scores.json").write_text(json.dumps(scores))
        return folder

    return put


@pytest.fixture
def store_of_two_texts(tmp_path: Path, sample_of: Callable[..., Sample], put: Callable[..., Path]) -> Store:
    """One prompt id and seed: by DAS with and without a negative prompt, by DAS-AG without one, and of another text."""
    from das_ag.experiment.store import Store

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
    """Generating sets flags of the whole process, which must not reach other tests."""
    backends = torch.backends
    # Not use_deterministic_algorithms, which imports torch's compiler: seconds.
    deterministic = torch.get_deterministic_debug_mode()
    cudnn = (backends.cudnn.benchmark, backends.cudnn.deterministic, backends.cudnn.allow_tf32)
    tf32 = backends.cuda.matmul.allow_tf32
    fill = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.set_deterministic_debug_mode(deterministic)
    backends.cudnn.benchmark, backends.cudnn.deterministic, backends.cudnn.allow_tf32 = cudnn
    backends.cuda.matmul.allow_tf32 = tf32
    torch.utils.deterministic.fill_uninitialized_memory = fill


@pytest.fixture(autouse=True, scope="module")
def _keep_the_number_of_threads() -> Iterator[None]:
    """Generating sets that too, in fixtures of a module already."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, without a window; the test skips where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("needs a browser: $CHROMIUM, chromium, chromium-browser or google-chrome")
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with api.sync_playwright() as playwright:
        # As root, for instance in a container, Chromium starts only without its sandbox.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()
