"""What stands between a run and torch's compiler; that the compiler computes rightly is tested with run.py."""

import importlib.util
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from reference import save_small_clip

from das_ag.errors import UserError
from das_ag.models.compiled import CompilationError, Compiler, check_compiler

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
    assert options in ({"deterministic": True}, {})


@pytest.mark.parametrize("deterministic", [True, False])
def test_torch_is_told_whether_it_may_choose_by_timing(calls, deterministic):
    Compiler("runtime.compile", deterministic=deterministic)(double)(torch.rand(1, 3, 2, 2).requires_grad_())
    known = "deterministic" in torch._inductor.list_options()
    assert calls == [(1, {"deterministic": deterministic} if known else {})]


ADVICE = '\n\nSet TORCHDYNAMO_VERBOSE=1 for the full stack trace. For more, set TORCH_LOGS="+dynamo"\n'
PRINTED = "CppCompileError: C++ compile error\n\nCommand:\ng++ /tmp/a.cpp -o /tmp/a.so\n\nOutput:\n"
NONE_FOUND = "InvalidCxxCompiler: No working C++ compiler found"
ELSEWHERE = "SubprocException: In a subprocess:\n\nTraceback (most recent call last):\n  File a\n"


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (PRINTED + "a.h:1: warning: odd\na.cpp:4: error: no member\na.cpp:9: error: more", "a.cpp:4: error: no member"),
        (PRINTED + "a.cpp(4): fatal error C1083: no Python.h\nstopped", "a.cpp(4): fatal error C1083: no Python.h"),
        (PRINTED + "reading a.cpp\n  Killed\n", "Killed"),
        (PRINTED + "\n", "CppCompileError: C++ compile error"),
        (ELSEWHERE + "OSError: gone", "OSError: gone"),
        (NONE_FOUND + "\n  more of it", NONE_FOUND),
        ("", "InternalTorchDynamoError"),
    ],
    ids=["g++", "cl", "without the word", "nothing printed", "another process", "torch itself", "nothing told"],
)
def test_a_compilation_that_fails_is_told_in_a_sentence(monkeypatch, told, cause):
    def fails(_):
        raise torch._dynamo.exc.InternalTorchDynamoError(told + ADVICE if told else told)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    encode = Compiler("runtime.compile", deterministic=True)(double)
    with pytest.raises(CompilationError) as caught:
        encode(torch.rand(1, 3, 2, 2).requires_grad_())
    assert str(caught.value) == (
        f"runtime.compile: expected torch to compile the guide, got {cause}; see that the compiler works and finds "
        "Python's headers, or set runtime.compile=false."
    )


BROKEN = """#!/bin/sh
case "$*" in *--version*) echo "g++ 13.0"; exit;; esac
echo "In file included from /tmp/header.hpp:2," >&2
echo "/tmp/header.hpp:4:10: fatal error: Python.h: No such file or directory" >&2
echo "    4 | #include <Python.h>" >&2
echo "compilation terminated." >&2
exit 1
"""
FAILING = """
import torch
from das_ag.models.compiled import CompilationError, Compiler
encode = Compiler("runtime.compile", deterministic=True)(lambda pixels: pixels.flatten(1).sin())
try:
    encode(torch.rand(1, 3, 2, 2).requires_grad_())
except CompilationError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the compiler here is a script of a Unix shell")
def test_what_a_real_compiler_says_is_told(tmp_path):
    """In a program of its own, since torch remembers compilers."""
    compiler = tmp_path / "c++"
    compiler.write_text(BROKEN)
    compiler.chmod(0o755)
    variables = {**os.environ, "CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    command = [sys.executable, "-c", FAILING]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout == (
        "runtime.compile: expected torch to compile the guide, got /tmp/header.hpp:4:10: fatal error: Python.h: No "
        "such file or directory; see that the compiler works and finds Python's headers, or set "
        "runtime.compile=false.\n"
    ), done.stderr


def test_every_thread_has_room_for_many_sizes_and_is_told_when_there_are_more(monkeypatch):
    """Torch would go on without compiling, to other bytes; its limits are those of a thread."""
    seen = []

    def fails(_):
        config = torch._dynamo.config
        seen.append((config.recompile_limit, config.fail_on_recompile_limit_hit))
        raise torch._dynamo.exc.FailOnRecompileLimitHit("limit")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    encode = Compiler("runtime.compile", deterministic=True)(double)
    with ThreadPoolExecutor(1) as thread:
        for _ in range(2):
            failure = thread.submit(encode, torch.rand(1, 3, 2, 2).requires_grad_()).exception()
            assert str(failure) == (
                "runtime.compile: expected at most 64 sizes of batches in a process, got one more; start the program "
                "again."
            )
    assert seen == [(64, True)] * 2


COMPILED_CLIP = """
import sys, torch
from pathlib import Path
from das_ag.models.clip import OpenAIClip
from das_ag.models.compiled import Compiler
model = OpenAIClip(Path(sys.argv[1]))
functions = model.encode_images, Compiler("runtime.compile", deterministic=True)(model.encode_images)
for count in (2, 3):
    drawn = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    pixels = [drawn.clone().requires_grad_() for _ in functions]
    plain, compiled = (function(of) for function, of in zip(functions, pixels))
    weights = torch.linspace(-1, 1, plain.shape[1])
    for features in (plain, compiled):
        (features @ weights).sum().backward()
    torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-5)
    largest = pixels[0].grad.abs().max().item()
    torch.testing.assert_close(pixels[1].grad, pixels[0].grad, rtol=0, atol=1e-4 * largest)
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2, torch._dynamo.utils.counters
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++, which is not here")
def test_a_compiled_clip_has_the_features_and_gradients_of_the_plain_one(tmp_path):
    """In a program of its own, without the checks of shapes that pytest adds to every function."""
    variables = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    command = [sys.executable, "-c", COMPILED_CLIP, str(save_small_clip(tmp_path))]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


def test_other_errors_are_left_as_they_are(monkeypatch):
    def fails(_):
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    with pytest.raises(torch.OutOfMemoryError, match="none left"):
        Compiler("runtime.compile", deterministic=True)(double)(torch.rand(1, 3, 2, 2).requires_grad_())


def test_what_compiling_needs_is_here(monkeypatch):
    asked = []
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: asked.append(name) or f"/usr/bin/{name}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: asked.append(name) or object())
    monkeypatch.setattr("sys.platform", "linux")
    check_compiler("runtime.compile", CPU)
    check_compiler("runtime.compile", CUDA)
    monkeypatch.setenv("CXX", "clang++-19")
    monkeypatch.setenv("CC", "clang-19")
    check_compiler("runtime.compile", CPU)
    check_compiler("runtime.compile", CUDA)
    assert asked == ["g++", "triton", "gcc", "clang++-19", "triton", "clang-19"]


@pytest.mark.parametrize(
    ("platform", "device", "there", "message"),
    [
        ("linux", "mps", "g++", "expected a cpu or cuda device, got mps; set "),
        ("linux", "cpu", "", "expected the compiler g++, found none; install it, or set "),
        ("darwin", "cpu", "", "expected the compiler clang++, found none; install it, or set "),
        ("win32", "cpu", "", "expected the compiler cl, found none; install it, or set "),
        ("linux", "cuda", "triton", "expected the compiler gcc or clang, found none; install it, or set "),
        ("linux", "cuda", "gcc", "expected the package triton, found none; install it, or set "),
    ],
)
def test_what_compiling_lacks(monkeypatch, platform, device, there, message):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == there else None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == there else None)
    with pytest.raises(UserError) as caught:
        check_compiler("runtime.compile", torch.device(device))
    assert str(caught.value) == f"runtime.compile: {message}runtime.compile=false."
