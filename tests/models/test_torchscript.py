"""No code of an archive runs, and its tensors are those that torch itself would load."""

import pickle
import warnings
import zipfile
from typing import NamedTuple

import pytest
import torch
from torch import nn
from trap import Trap

from das_ag.errors import UserError
from das_ag.models.torchscript import is_archive, read_tensors
from das_ag.models.weights import load_state, sha256_of

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


class Size(NamedTuple):
    height: int
    width: int


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4).T)  # not contiguous
        self.shared = self.weight
        self.register_buffer("number", torch.tensor(7))
        self.plain = torch.full((2,), float("-inf"))  # neither parameter nor buffer
        self.sizes = [1, 2]
        self.size = Size(2, 3)
        self.text = "a text"


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(5).half())
        self.flag = True
        self.inner = nn.ModuleList([Inner(), nn.Linear(4, 2).to(torch.bfloat16)])


class Pair(nn.Module):
    def __init__(self, one, other):
        super().__init__()
        self.one, self.other = one, other


def save(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.fixture
def archive(tmp_path):
    return save(Outer(), tmp_path / "archive.pt")


def changed(path, replace):
    """A copy of an archive with the bytes of some entries replaced."""
    copy = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, replace(entry.filename, old.read(entry)))
    return copy


def test_the_tensors_are_those_of_torch(archive):
    expected, got = torch.jit.load(archive).state_dict(), read_tensors(archive)
    assert list(expected) == [
        "scale", "inner.0.weight", "inner.0.shared", "inner.0.number", "inner.1.weight", "inner.1.bias",
    ]  # fmt: skip
    assert list(got) == list(expected)
    for name, weight in expected.items():
        assert got[name].dtype == weight.dtype
        assert torch.equal(got[name], weight)


def test_an_archive_runs_no_code(tmp_path):
    written = tmp_path / "written"
    path = save(Pair(nn.Linear(2, 3), Trap(written)), tmp_path / "trap.pt")
    written.unlink(missing_ok=True)
    state = load_state(path, what="CLIP", runnable={"0" * 64})
    assert list(state) == ["one.weight", "one.bias"]
    assert not written.exists()
    torch.jit.load(path)  # the trap works
    assert written.exists()


def test_only_an_archive_of_a_known_checksum_may_run(tmp_path):
    written = tmp_path / "written"
    path = save(Pair(nn.Linear(2, 3), Trap(written)), tmp_path / "trap.pt")
    written.unlink(missing_ok=True)
    load_state(path, what="CLIP", runnable={sha256_of(path)})
    assert written.exists()


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [eval, getattr, torch.load, torch.from_file, pickle.loads, zipfile.ZipFile])
def test_a_pickle_that_would_call_a_function_is_refused(tmp_path, archive, function):
    trap = pickle.dumps(Call(function, str(tmp_path / "written")), protocol=2)
    path = changed(archive, lambda name, content: trap if name.endswith("/data.pkl") else content)
    with pytest.raises(pickle.UnpicklingError, match=r"is not part of a TorchScript archive's weights"):
        read_tensors(path)
    with pytest.raises(UserError, match=r"^CLIP: cannot read .*changed\.pt as a state dict or a TorchScript archive"):
        load_state(path, what="CLIP")


def test_a_tensor_that_is_larger_than_its_bytes_is_refused(archive):
    """Torch would expand a single number to any size, or read beyond the end."""
    path = changed(archive, lambda name, content: content[:4] if "/data/" in name else content)
    with pytest.raises(ValueError, match="uncompressed numbers"):
        read_tensors(path)


def test_compressed_tensors_are_refused(tmp_path, archive):
    """A small file could claim much memory; `torch.jit.save` compresses nothing."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(ValueError, match="uncompressed numbers"):
        read_tensors(tmp_path / "small.pt")


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_a_truncated_archive(archive, kept):
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^CLIP: cannot read .*archive\.pt"):
        load_state(archive, what="CLIP")


def test_a_state_dict_is_no_archive(tmp_path, archive):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "state.pt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert is_archive(archive)
    assert not is_archive(tmp_path / "state.pt")
    assert not is_archive(tmp_path / "old.pt")
