"""What the tests of the demo share."""

from __future__ import annotations

import pytest

from das_ag.settings import environment


@pytest.fixture(autouse=True, scope="session")
def _tiny_preset() -> None:
    import tiny_preset

    tiny_preset.put_first()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", environment.CUBLAS_WORKSPACE_CONFIG)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in; outputs/ comes to lie below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
