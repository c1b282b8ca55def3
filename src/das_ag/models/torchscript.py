"""Reads the tensors of a TorchScript archive without running the program that it holds.

`torch.jit.load` runs code of the archive, for instance each `__setstate__`, and such code can overwrite files. Here a
restricted unpickler reads the archive's attributes, and every object that it makes is plain data.

Source of the format: torch/csrc/jit/docs/serialization.md in PyTorch.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
"""Types of numbers by the names that archives use."""


def is_archive(path: Path) -> bool:
    """Whether the file is a TorchScript archive; a file of `torch.save` has no constants."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return f"{_top(archive)}/constants.pkl" in archive.namelist()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers of the archive's module, on the CPU, by dotted name.

    Raises:
        Exception: of many types, if the file is damaged or is not as `torch.jit.save` writes it.
    """
    with zipfile.ZipFile(path) as archive:
        root = _Unpickler(archive).load()
        return {name: _tensor(archive, stored) for name, stored in _stored_tensors(root)}


def _top(archive: zipfile.ZipFile) -> str:
    """The folder that all entries are in."""
    return next(iter(archive.namelist()), "").partition("/")[0]


class _Module:
    """An object of a class that the archive defines: only the state that the archive has for it."""

    weights: frozenset[str] = frozenset()
    """Names of the attributes that are parameters or buffers."""
    state: object = None

    def __init__(self, *_: object) -> None:
        """Ignores the arguments of enumerations and named tuples, which hold no weights."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class _StoredTensor(NamedTuple):
    """Arguments of `torch._utils._rebuild_tensor_v2`; `storage` is ("storage", type, key, device, numbers)."""

    storage: Any
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    backward_hooks: object


class _Unpickler(pickle.Unpickler):
    """Makes only modules, descriptions of tensors, and Python's own containers and numbers."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        super().__init__(io.BytesIO(archive.read(f"{_top(archive)}/data.pkl")))
        self._archive = archive

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return type(name, (_Module,), {"weights": _weights_of(self._archive, module, name)})
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if module == "torch.jit._pickle":  # build_intlist and the like, which mark the type of a list or dict
            return _same
        known = {("torch._utils", "_rebuild_tensor_v2"): _StoredTensor, ("collections", "OrderedDict"): dict}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a TorchScript archive's weights")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        return pid


def _same(value: object, *_: object) -> object:
    return value


def _weights_of(archive: zipfile.ZipFile, module: str, name: str) -> frozenset[str]:
    """Names of the parameters and buffers of a class, from the text of its program."""
    program = archive.read(f"{_top(archive)}/code/{module.replace('.', '/')}.py").decode()
    _, _, body = program.partition(f"class {name}(Module):")
    declared = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", body.partition("\nclass ")[0], re.MULTILINE)
    return frozenset(re.findall(r'"(\w+)"', "".join(declared)))


def _stored_tensors(value: object, place: str = "") -> Iterator[tuple[str, _StoredTensor]]:
    if not isinstance(value, _Module) or not isinstance(value.state, dict):
        return
    for name, item in value.state.items():
        if isinstance(item, _StoredTensor) and name in value.weights:
            yield f"{place}{name}", item
        yield from _stored_tensors(item, f"{place}{name}.")


def _tensor(archive: zipfile.ZipFile, stored: _StoredTensor) -> Tensor:
    """The tensor; torch checks that it lies within the bytes of its storage."""
    _, dtype, key, _, _ = stored.storage
    entry = archive.getinfo(f"{_top(archive)}/data/{key}")
    size, stride = tuple(stored.size), tuple(stored.stride)
    # Else a small file could claim much memory.
    if entry.compress_type != zipfile.ZIP_STORED or math.prod(size) * dtype.itemsize > entry.file_size:
        raise ValueError(f"{entry.filename}: expected at least {math.prod(size)} uncompressed numbers")
    numbers = torch.frombuffer(bytearray(archive.read(entry)), dtype=dtype)
    return numbers.as_strided(size, stride, stored.offset)
