"""MKL chooses its kernels while one thread asks for them, in whatever program comes to compute."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from reference import ROOT

SHARED_OUT = 32_768
"""Numbers from which on torch shares the work out among threads."""

# What a program does, after which it prints each of MKL's operations that it met, and of how many numbers.
PROGRAM = """
import runpy, sys
from das_ag.settings import environment
environment.prepare()
import torch
from torch.utils._python_dispatch import TorchDispatchMode

served = set(sys.argv.pop(1).split(","))

class Log(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.rstrip("_")
        if name in served:
            print("met", name, args[0].numel(), flush=True)
        return func(*args, **(kwargs or {}))

with Log():
    {body}
"""
RUN = 'runpy.run_path(sys.argv.pop(1), run_name="__main__")'
PLAN = (
    "method=das", "prompts=own", "prompts.positive={a: a tiger}", "steps=2", "canvas_px=192",
    "runtime.device=cpu", "runtime.threads=2", "runtime.deterministic=false",
)  # fmt: skip


def served_by_mkl() -> list[str]:
    """Torch's operations that call MKL's vector mathematics, as its own header lists them."""
    header = Path(torch.__file__).parent / "include" / "ATen" / "cpu" / "vml.h"
    names = re.findall(r"^IMPLEMENT_VML_MKL\((\w+),", header.read_text(), re.MULTILINE)
    assert {"sqrt", "exp", "tanh"} <= set(names)
    return names


@pytest.fixture
def met(tmp_path):
    """Runs a program; gives name and size of each operation of MKL's that it met, in their order."""

    def met(body: str, *arguments: str) -> list[tuple[str, int]]:
        program = PROGRAM.replace("{body}", body)
        command = [sys.executable, "-c", program, ",".join(served_by_mkl()), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [(name, int(count)) for name, count in re.findall(r"^met (\w+) (\d+)$", done.stdout, re.MULTILINE)]

    return met


def test_a_run_asks_for_one_number_before_it_shares_work_out(met):
    """The canvas' tanh is the first that two threads would come to at the same time."""
    found = met(RUN, str(ROOT / "run.py"), *PLAN)
    assert found[0][1] == 1
    assert max(count for _, count in found) >= SHARED_OUT
