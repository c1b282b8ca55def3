"""What stands between a run and torch's compiler; that the compiler computes rightly is tested with run.py."""

import importlib.util
import shutil

import pytest
import torch

from das_ag.errors import UserError
from das_ag.models.compiled import Compiler, check_compiler

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def double(pixels):
    return 2 * pixels.flatten(1)


@pytest.fixture
def calls(monkeypatch):
    """The numbers of pictures with which what was compiled is called; torch.compile compiles nothing."""
    calls = []

    def compile_(function, *, dynamic, options):
        assert dynamic is False

        def compiled(pixels):
            calls.append((len(pixels), options))
            return function(pixels)

        return compiled

    monkeypatch.setattr(torch, "compile", compile_)
    return calls


def test_only_what_needs_a_gradient_is_compiled(calls):
    encode, pixels = Compiler("runtime.compile", deterministic=True)(double), torch.rand(3, 3, 2, 2)
    assert torch.equal(encode(pixels), double(pixels))
    assert calls == []
    assert torch.equal(encode(pixels.requires_grad_()), double(pixels))
    ((count, options),) = calls
    assert count == 3
    assert options == {"deterministic": True}


@pytest.mark.parametrize("deterministic", [True, False])
def test_torch_is_told_whether_it_may_choose_by_timing(calls, deterministic):
    Compiler("runtime.compile", deterministic=deterministic)(double)(torch.rand(1, 3, 2, 2).requires_grad_())
    assert calls == [(1, {"deterministic": deterministic})]


def test_a_compilation_that_fails_is_told_in_a_sentence(monkeypatch):
    def fails(_):
        raise torch._dynamo.exc.InternalTorchDynamoError("fatal error: Python.h: No such file\nmore of it")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    encode = Compiler("runtime.compile", deterministic=True)(double)
    with pytest.raises(
        UserError,
        match=r"^runtime\.compile: expected torch to compile the guide, got fatal error: Python\.h: No such file; see "
        r"that the C\+\+ compiler finds Python's headers, or set runtime\.compile=false\.$",
    ):
        encode(torch.rand(1, 3, 2, 2).requires_grad_())


def test_other_errors_are_left_as_they_are(monkeypatch):
    def fails(_):
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    with pytest.raises(torch.OutOfMemoryError, match="none left"):
        Compiler("runtime.compile", deterministic=True)(double)(torch.rand(1, 3, 2, 2).requires_grad_())


def test_what_compiling_needs_is_here(monkeypatch):
    asked = []
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: asked.append(name) or f"/usr/bin/{name}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: asked.append(name) or object())
    monkeypatch.setattr("sys.platform", "linux")
    check_compiler("runtime.compile", CPU)
    assert asked == ["g++"]
    check_compiler("runtime.compile", CUDA)
    assert asked[1:] == ["g++", "triton"]
    monkeypatch.setenv("CXX", "clang++-19")
    check_compiler("runtime.compile", CPU)
    assert asked[3:] == ["clang++-19"]


@pytest.mark.parametrize(
    ("platform", "device", "there", "message"),
    [
        ("linux", "mps", True, "expected a cpu or cuda device, got mps; set "),
        ("linux", "cpu", False, "expected the C++ compiler g++, found none; install it, or set "),
        ("darwin", "cpu", False, "expected the C++ compiler clang++, found none; install it, or set "),
        ("win32", "cuda", False, "expected the C++ compiler cl, found none; install it, or set "),
        ("linux", "cuda", True, "expected the package triton, found none; install it, or set "),
    ],
)
def test_what_compiling_lacks(monkeypatch, platform, device, there, message):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if there else None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError) as caught:
        check_compiler("runtime.compile", torch.device(device))
    assert str(caught.value) == f"runtime.compile: {message}runtime.compile=false."
