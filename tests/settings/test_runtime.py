"""How this process computes, and what is recorded of it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from importlib import metadata

import psutil
import pytest
import torch

from das_ag.errors import UserError
from das_ag.generation import machine as machine_module
from das_ag.generation.machine import provenance, set_up
from das_ag.models.precision import dtype_of
from das_ag.settings import cores as cores_module
from das_ag.settings.runtime import RuntimeSettings, choose_device

FOUR = [(0, 0), (0, 1), (0, 2), (0, 3)]
"""Processors of a machine: package and core of each."""

SETTINGS = RuntimeSettings(
    deterministic=False, device="cpu", precision="float32", threads=1, samples_per_batch=6,
    views_per_pass=64, checkpoint_steps=0,
)  # fmt: skip


@pytest.fixture
def settings(monkeypatch):
    """Those of a process in which cuBLAS may be deterministic, with changes."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return lambda **changes: dataclasses.replace(SETTINGS, **changes)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes a machine of logical processors, each with its package and core, of which this process may use some.

    `files` are others, with what stands in them.
    """

    def machine(processors, usable=None, files=()):
        for name, content in dict(files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        for number, (package, core) in enumerate(processors):
            folder = tmp_path / "sys/devices/system/cpu" / f"cpu{number}" / "topology"
            folder.mkdir(parents=True)
            (folder / "physical_package_id").write_text(f"{package}\n")
            (folder / "core_id").write_text(f"{core}\n")
        monkeypatch.setattr(cores_module, "_ROOT", tmp_path)
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _: set(range(len(processors)) if usable is None else usable), raising=False
        )

    cores_module.count_cores.cache_clear()
    yield machine
    cores_module.count_cores.cache_clear()


@pytest.mark.parametrize("before", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_set_whatever_was_before(settings, before, threads):
    torch.set_num_threads(before)
    set_up(settings(threads=threads))
    assert torch.get_num_threads() == threads
    assert provenance(torch.device("cpu"))["threads"] == threads


@pytest.mark.parametrize(
    ("processors", "usable", "cores"),
    [
        ([(0, 0), (0, 1), (0, 2)], None, 3),
        ([(0, 0), (0, 1), (0, 0), (0, 1)], None, 2),  # two threads in each core
        ([(0, 0), (0, 1), (1, 0), (1, 1)], None, 4),  # two packages, which number their cores alike
        ([(0, 0), (0, 1), (0, 0), (0, 1)], [0, 2], 1),
        ([(0, 0), (0, 1), (0, 2), (0, 3)], [1, 3], 2),
    ],
)
def test_without_a_number_each_core_that_may_be_used_has_a_thread(settings, machine, processors, usable, cores):
    machine(processors, usable)
    torch.set_num_threads(7)
    set_up(settings(threads=None))
    assert torch.get_num_threads() == cores
    assert settings(threads=None).cpu_threads == cores
    assert settings(threads=5).cpu_threads == 5


def test_a_machine_that_tells_nothing_of_its_cores_is_asked_for_their_number(settings, machine, monkeypatch):
    machine([], [0])
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None if logical else 6)
    assert settings(threads=None).cpu_threads == 6


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_cores_are_counted_without_their_second_threads(
    settings, machine, monkeypatch, platform
):
    machine(FOUR)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 6 if logical else 3)
    assert settings(threads=None).cpu_threads == 3


V2, V1, V1_TWO = "sys/fs/cgroup", "sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"


def v1(folder, quota, period="100000"):
    return {f"{folder}/cpu.cfs_quota_us": f"{quota}\n", f"{folder}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {f"{V2}/cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {f"{V2}/cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {f"{V2}/cpu.max": "125000 50000\n"}, 3),
        ("0::/\n", {f"{V2}/cpu.max": "800000 100000\n"}, 4),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, 4),
        ("0::/\n", {}, 4),
        ("0::/a.slice/b\n", {f"{V2}/a.slice/b/cpu.max": "max 100000", f"{V2}/a.slice/cpu.max": "300000 100000"}, 3),
        ("0::/a.slice/b\n", {f"{V2}/a.slice/b/cpu.max": "100000 100000", f"{V2}/a.slice/cpu.max": "300000 100000"}, 1),
        ("0::/a\n", {f"{V2}/b/cpu.max": "100000 100000"}, 4),
        ("0::/../../docker/c\n", {f"{V2}/cpu.max": "200000 100000\n"}, 2),
        ("5:memory:/m\n4:cpu:/docker/c\n0::/\n", v1(V1, 150000), 2),
        ("4:cpu,cpuacct:/\n", v1(V1_TWO, 250000), 3),
        ("4:cpuacct,cpu:/\n", v1(V1, 250000), 3),
        ("4:cpu:/batch/job\n", {**v1(V1, -1), **v1(f"{V1}/batch", 300000), **v1(f"{V1}/batch/job", -1)}, 3),
        ("4:cpuset:/\n3:cpuacct:/\n", {**v1(V1, 100000), **v1("sys/fs/cgroup/cpuset", 100000)}, 4),
        ("4:cpu:/\n0::/\n", v1(V1, -1), 4),
        ("4:cpu:/\n", v1(V1, "nonsense"), 4),
    ],
)  # fmt: skip
def test_a_container_has_as_many_cores_as_it_is_given_time_of(settings, machine, groups, files, cores):
    machine(FOUR, files={"proc/self/cgroup": groups, **files})
    assert settings(threads=None).cpu_threads == cores
    assert settings(threads=5).cpu_threads == 5


def test_more_threads_than_cores_are_told_once_and_taken_all_the_same(settings, machine, caplog):
    """Bytes may depend on their number, so that an image is made again with as many as it was made with."""
    machine(FOUR, usable=[0, 1])
    machine_module._warn_of_threads.cache_clear()
    for threads in (1, 2, None, 3, 1, 3):
        set_up(settings(threads=threads))
        assert torch.get_num_threads() == (threads or 2)
    assert [record.getMessage() for record in caplog.records] == [
        "runtime.threads: expected at most 2, as many as there are cores to use here, got 3, which is slower; use "
        "null, unless an image is to be made again to the byte."
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
    assert str(told.value) == (
        "runtime.device: expected cuda, but torch finds only mps, cpu here; use runtime.device=auto."
    )


def test_precisions_have_their_types():
    assert dtype_of("float32", "x") is torch.float32
    assert dtype_of("bfloat16", "x") is torch.bfloat16
    with pytest.raises(
        UserError, match=r"^evaluator\.precision: expected float32 or bfloat16, got 'float16', in which"
    ):
        dtype_of("float16", "evaluator.precision")
