"""Which weights are fetched before a run, and that a dry run fetches none."""

import dataclasses

import pytest
from tiny_models import TinyGuideChoice, TinyJudgeChoice

from das_ag.errors import UserError
from das_ag.models.files import WeightFile
from das_ag.models.guides.imagenet import ImagenetChoice
from das_ag.models.hub import HubFolder
from das_ag.models.registry import provide_weights


@dataclasses.dataclass(frozen=True)
class Guide(TinyGuideChoice):
    weights: tuple

    def files(self):
        return dict(enumerate(self.weights))


@dataclasses.dataclass(frozen=True)
class Judge(TinyJudgeChoice):
    needed: tuple

    def files(self):
        return dict(enumerate(self.needed))


@pytest.fixture
def fetched(monkeypatch):
    """Names of the files that were fetched; each fetch of a file that was not given succeeds."""
    names = []
    fetch = WeightFile.fetch

    def note(self):
        names.append(self.what)
        if self.given:
            fetch(self)
        self.path.write_bytes(b"weights")

    monkeypatch.setattr(WeightFile, "fetch", note)
    return names


def file(folder, name, *, given=False):
    return WeightFile(name, name.upper(), folder / name, given, "http://nowhere", None, "MIT", 1_500_000_000)


def choices(tmp_path, **options):
    guide = Guide("tiny", (file(tmp_path, "clip"), file(tmp_path, "head", **options)))
    return guide, [Judge((file(tmp_path, "judge"),))]


def test_a_run_fetches_all(tmp_path, fetched):
    provide_weights(*choices(tmp_path), dry_run=False)
    assert fetched == ["clip", "head", "judge"]
    provide_weights(*choices(tmp_path), dry_run=False)
    assert len(fetched) == 3


def test_a_dry_run_fetches_nothing_and_names_all_that_is_missing(tmp_path, fetched):
    (tmp_path / "head").write_bytes(b"weights")
    with pytest.raises(UserError) as caught:
        provide_weights(*choices(tmp_path), dry_run=True)
    assert fetched == []
    assert str(caught.value) == (
        "dry_run: cannot tell which samples are finished, since these weights are missing: clip (1.5 GB), judge "
        "(1.5 GB). A dry run downloads nothing; a run without dry_run does."
    )


def test_a_dry_run_does_not_need_the_judge(tmp_path, fetched):
    for name in ("clip", "head"):
        (tmp_path / name).write_bytes(b"weights")
    provide_weights(*choices(tmp_path), dry_run=True)
    assert fetched == []


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_given_path_without_a_file_is_told_before_any_download(tmp_path, fetched, dry_run):
    with pytest.raises(UserError, match=r"^head: expected a file at .*head, found none; point HEAD to it\.$"):
        provide_weights(*choices(tmp_path, given=True), dry_run=dry_run)
    assert fetched == ["head"]


def test_a_dry_run_does_not_ask_the_hub(monkeypatch, tmp_path):
    """A classifier of timm that is not a package is a download too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(HubFolder, "fetch", lambda _: pytest.fail("downloads"))
    with pytest.raises(UserError, match=r"^dry_run: .* missing: resnet50\.a1_in1k \(size unknown\)\. A dry run down"):
        provide_weights(ImagenetChoice("imagenet", "resnet50.a1_in1k", None, None, None), [], dry_run=True)


def test_packages_and_own_checkpoints_need_no_download():
    assert ImagenetChoice("imagenet", "tf_efficientnet_lite0", None, None, None).files() == {}
    assert ImagenetChoice("imagenet", "resnet50.a1_in1k", "/tmp/weights.pth", None, None).files() == {}
