"""A frozen encoder compiled by torch: fewer passes over memory, after a minute that is spent before the first step."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from das_ag.errors import UserError

_MAX_SHAPES = 64
"""Kinds of batches that one process may meet: torch would stop compiling after eight, and compute on otherwise."""
_ERROR = re.compile(r"\berror( \w+)?:")
"""In the line with which g++, clang or, with a number of its own, cl says what is wrong."""


class CompilationError(UserError):
    """The guide cannot be compiled here: what fails for one batch will fail for every other."""


def check_compiler(option: str, device: torch.device) -> None:
    """Sees that torch can compile for a device.

    Raises:
        UserError: it cannot, or what it needs is not here.
    """
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"{option}: expected a cpu or cuda device, got {device.type}; set {option}=false.")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise UserError(f"{option}: expected the package triton, found none; install it, or set {option}=false.")
    compilers = _compilers(device)
    if not any(map(shutil.which, compilers)):
        raise UserError(
            f"{option}: expected the compiler {' or '.join(compilers)}, found none; install it, or set {option}=false."
        )


def _compilers(device: torch.device) -> tuple[str, ...]:
    """Of which torch needs one: of C++ for the CPU; of C, with which Triton makes its launchers, for CUDA."""
    if device.type == "cuda":
        return (os.environ["CC"],) if os.environ.get("CC") else ("gcc", "clang")
    return (os.environ.get("CXX") or {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++"),)


@dataclass(frozen=True)
class Compiler:
    """Has encoders compiled by torch where a gradient is asked for; the result is the same to rounding.

    Attributes:
        option: how messages call the setting that asked for it.
        deterministic: whether nothing may be chosen by timing it.
    """

    option: str
    deterministic: bool

    def __call__(self, encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The function (N, 3, H, W) → (N, D), compiled when it is first called.

        It raises CompilationError where that fails, UserError where there are too many sizes of batches.

        Each N is compiled for itself: a program for all of them would take over after the second, and an image's last
        bits would depend on what the process had done before. What needs no gradient is computed once an image, which
        is not worth a compilation.
        """
        # Imported late: torch's compiler takes seconds.
        import torch._dynamo
        import torch._inductor
        from torch._dynamo.exc import BackendCompilerFailed, FailOnRecompileLimitHit, TorchDynamoException

        # Old versions of torch do not know it.
        known = {"deterministic"} & set(torch._inductor.list_options())
        compiled = torch.compile(encode, dynamic=False, options=dict.fromkeys(known, self.deterministic))

        def encode_images(pixels: Tensor) -> Tensor:
            if not pixels.requires_grad:
                return encode(pixels)
            try:
                # Each thread has limits of its own.
                with torch._dynamo.config.patch(recompile_limit=_MAX_SHAPES, fail_on_recompile_limit_hit=True):
                    return compiled(pixels)
            except FailOnRecompileLimitHit as error:
                raise UserError(
                    f"{self.option}: expected at most {_MAX_SHAPES} sizes of batches in a process, got one more; start "
                    "the program again."
                ) from error
            except (BackendCompilerFailed, TorchDynamoException) as error:
                raise CompilationError(
                    f"{self.option}: expected torch to compile the guide, got {_cause(error)}; see that the compiler "
                    f"works and finds Python's headers, or set {self.option}=false."
                ) from error

        return encode_images


def _cause(error: Exception) -> str:
    """The line that tells most in the pages that torch writes about a failure."""
    told = str(error).partition("\nSet TORCHDYNAMO_VERBOSE")[0]
    *before, last = re.split(r"^(?:Output:|Traceback .*)$", told, flags=re.MULTILINE)
    lines, ending = _lines(told), _lines(last)
    if wrong := next(filter(_ERROR.search, lines), None):
        return wrong
    # A traceback ends with what was wrong, and so do compilers that say it otherwise; torch itself begins with it.
    if before and ending:
        return ending[-1]
    return lines[0] if lines else type(error).__name__


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def forget_compiled() -> None:
    """Gives the memory of all that was compiled back."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
