"""What an installed wheel has, away from the repository."""

import os
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest
from reference import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the files of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def run(installed, tmp_path):
    """Runs das-ag of the wheel in an empty folder: standard output."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "das_ag.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


def test_the_wheel_has_the_configuration_as_in_the_repository(installed):
    def files(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(installed / "das_ag" / "conf") == files(ROOT / "conf")
    assert (installed / "das_ag" / "py.typed").is_file()
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "das-ag = das_ag.cli:main" in entry_points.read_text()


def test_the_wheel_reads_its_own_configuration(run, installed):
    """And Hydra finds the package's own sweeper and launcher."""
    assert run("--version") == f"das-ag {metadata.version('das-ag')}\n"
    assert f"{installed}/das_ag/conf" in run("run", "--info", "config")
    assert "name: wonders" in run("run", "--cfg", "job")


def test_the_wheel_makes_and_reports_images_in_the_working_folder(run, tmp_path):
    small = ("steps=2", "canvas_px=48", "views.count=1", "views.max_shift_px=4", "runtime.threads=1")
    run("run", "-m", "method=das,das_ag", "prompts=own", "prompts.positive={fox: a red fox}", "name=mine", *small)
    assert len(list(tmp_path.glob("outputs/mine/samples/*/*/image.png"))) == 2
    assert (tmp_path / "outputs" / "mine" / "index.html").is_file()
    assert "the same" in run("verify", "outputs/mine", "--samples", "1", "runtime.threads=1")
