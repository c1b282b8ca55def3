"""How this process computes, and what is recorded of it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from importlib import metadata

import psutil
import pytest
import torch

from das_ag.errors import UserError
from das_ag.generation import machine as machine_module
from das_ag.generation.machine import provenance, set_up
from das_ag.models.precision import dtype_of
from das_ag.settings import runtime as runtime_module
from das_ag.settings.runtime import RuntimeSettings, choose_device, count_cores

SETTINGS = RuntimeSettings(
    deterministic=False, device="cpu", precision="float32", threads=1, samples_per_batch=6,
    views_per_pass=64, checkpoint_steps=0,
)  # fmt: skip


@pytest.fixture
def settings(monkeypatch):
    """Those of a process in which cuBLAS may be deterministic, with changes."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return lambda **changes: dataclasses.replace(SETTINGS, **changes)


@pytest.fixture(autouse=True)
def load(monkeypatch):
    """Sets how many of four cores others use, 0 at first; otherwise it would depend on the tests' machine."""
    machine_module._warn_of_load.cache_clear()
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
    set_load = lambda busy: monkeypatch.setattr(psutil, "cpu_percent", lambda interval: 25 * busy)  # noqa: ARG005, E731
    set_load(0.0)
    return set_load


@pytest.mark.parametrize(
    ("cores", "threads", "busy", "better"),
    [(4, None, 1.0, 3), (4, None, 3.4, 1), (2, None, 2.6, 1), (4, None, 4.0, 1)],
)
def test_a_busy_machine_is_told_once(settings, monkeypatch, load, caplog, cores, threads, busy, better):
    for module in (machine_module, runtime_module):
        monkeypatch.setattr(module, "count_cores", lambda: cores)
    load(busy)
    for _ in range(2):
        set_up(settings(threads=threads))
    (message,) = caplog.messages
    assert message.startswith(f"Warning: other programs use {busy} of 4 cores, and {cores} threads ")
    assert message.endswith(f"runtime.threads={better} may be faster.")
    assert torch.get_num_threads() == cores  # the bytes of an image do not depend on the load


@pytest.mark.parametrize(
    ("cores", "threads", "busy"),
    [(4, None, 0.4), (2, None, 2.4), (1, None, 9.0), (4, 4, 9.0)],  # free enough; one thread; chosen by the user
)
def test_a_machine_with_free_cores_is_not_told(settings, monkeypatch, load, caplog, cores, threads, busy):
    for module in (machine_module, runtime_module):
        monkeypatch.setattr(module, "count_cores", lambda: cores)
    load(busy)
    set_up(settings(threads=threads))
    assert caplog.messages == []


@pytest.mark.parametrize("before", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_set_whatever_was_before(settings, before, threads):
    torch.set_num_threads(before)
    set_up(settings(threads=threads))
    assert torch.get_num_threads() == threads
    assert provenance(torch.device("cpu"))["threads"] == threads


def test_without_a_number_each_core_that_may_be_used_has_a_thread(settings):
    torch.set_num_threads(7)
    set_up(settings(threads=None))
    assert torch.get_num_threads() == count_cores() <= os.cpu_count()
    assert settings(threads=5).cpu_threads == 5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux restricts a process to some cores")
def test_a_process_that_may_use_one_core_counts_one():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "from das_ag.settings.runtime import count_cores; print(count_cores())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_more_threads_than_cores_are_told_once_and_taken_all_the_same(settings, monkeypatch, caplog):
    """Bytes may depend on their number, so that an image is made again with as many as it was made with."""
    for module in (machine_module, runtime_module):
        monkeypatch.setattr(module, "count_cores", lambda: 2)
    machine_module._warn_of_threads.cache_clear()
    for threads in (1, 2, None, 3, 1, 3):
        set_up(settings(threads=threads))
        assert torch.get_num_threads() == (threads or 2)
    assert [record.getMessage() for record in caplog.records] == [
        "runtime.threads: expected at most 2, the number of available cores, got 3. More threads are slower; use "
        "null, unless you need the bytes of an earlier image."
    ]


@pytest.mark.parametrize(
    ("capabilities", "warned"),
    [
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, True),
        ({"avx512_bf16": True, "amx_bf16": False}, False),
        ({"avx512_bf16": False, "amx_bf16": True}, False),
        ({"neon": True}, False),  # another architecture, of which nothing was measured
    ],
)
def test_bfloat16_that_the_processor_only_imitates_is_warned_of(settings, monkeypatch, caplog, capabilities, warned):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    machine_module._warn_of_bfloat16.cache_clear()
    for precision in ("float32", "bfloat16", "bfloat16"):
        set_up(settings(precision=precision, device="cpu"))
    messages = [record.getMessage() for record in caplog.records if "bfloat16" in record.getMessage()]
    assert len(messages) == warned
    if warned:
        assert "Use runtime.precision=float32" in messages[0]


def flags():
    backends = torch.backends
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "only warned": torch.is_deterministic_algorithms_warn_only_enabled(),
        "convolutions": backends.cudnn.deterministic,
        "search": backends.cudnn.benchmark,
        "tf32": (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
    }


DETERMINISTIC = {
    "algorithms": True, "only warned": False, "convolutions": True, "search": False, "tf32": (False, False),
    "fill": False,
}  # fmt: skip
FAST = {
    "algorithms": False, "only warned": False, "convolutions": False, "search": True, "tf32": (True, True),
    "fill": False,
}  # fmt: skip


def test_flags_are_those_of_the_last_set_up(settings):
    """A process may work off jobs of both kinds, in any order."""
    for deterministic in (True, False, True, True, False):
        set_up(settings(deterministic=deterministic))
        assert flags() == (DETERMINISTIC if deterministic else FAST)
        assert provenance(torch.device("cpu"))["deterministic_algorithms"] is deterministic


def test_an_operation_without_deterministic_algorithm_is_refused_by_the_one_alone(settings):
    def put():
        return torch.zeros(2).put(torch.tensor([0]), torch.tensor([1.0])).tolist()

    set_up(settings(deterministic=True))
    with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
        put()
    set_up(settings(deterministic=False))
    assert put() == [1.0, 0.0]


def test_provenance_tells_where_a_sample_was_made(settings):
    set_up(settings(threads=2, deterministic=True))
    found = provenance(torch.device("cpu"))
    assert found["device"] == "cpu"
    assert found["cuda"] is None
    assert found["threads"] == 2
    assert found["deterministic_algorithms"] is True
    assert found["cublas_workspace_config"] == ":4096:8"
    assert found["python"] == platform.python_version()
    assert {"das-ag", "torch", "numpy", "pillow", "safetensors"} <= set(found["versions"])
    assert all(found["versions"][name] == metadata.version(name) for name in found["versions"])
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "cpu"), (False, False, "cpu")],
)
def test_auto_takes_cuda_where_it_is_and_mps_only_if_asked(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen
    assert not mps or choose_device("mps").type == "mps"
    assert choose_device("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UserError) as told:
        choose_device("cuda")
    assert str(told.value) == ("runtime.device: torch does not find cuda, only mps, cpu; use runtime.device=auto.")


def test_precisions_have_their_types():
    assert dtype_of("float32", "x") is torch.float32
    assert dtype_of("bfloat16", "x") is torch.bfloat16
    with pytest.raises(
        UserError, match=r"^evaluator\.precision: expected float32 or bfloat16, got 'float16'\. CLIP overflows"
    ):
        dtype_of("float16", "evaluator.precision")
