"""Converts a configuration's plain values to checked dataclasses."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from das_ag.errors import UserError
from das_ag.settings.ranges import check_ranges, check_schedule
from das_ag.store.schema import SHORT_NAME
from das_ag.synthesis.schedules import Schedule

_T = TypeVar("_T")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def build(cls: type[_T], values: object, where: str) -> _T:
    """Builds an instance of the dataclass `cls`, with nested dataclasses; checks types and ranges.

    Args:
        values: a mapping with exactly the fields of `cls`.
        where: the option's place in the configuration, for messages.

    Raises:
        UserError: a value is missing, unknown, of the wrong type or out of its range.
    """
    kinds = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    group = check_names(values, names, where)
    arguments = {name: convert(kinds[name], group[name], f"{where}.{name}".lstrip(".")) for name in names}
    made = cls(**arguments)
    if isinstance(made, Schedule):
        check_schedule(made, where)
    else:
        check_ranges(made)
    return made


def check_names(values: object, names: Sequence[str], where: str, optional: Sequence[str] = ()) -> Mapping[str, Any]:
    """Returns the group of settings if it has all of these names, and no others except the optional ones.

    Raises:
        UserError: the value is not a group, or a name is missing or unknown.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected a group of settings, got {values!r}; see das-ag run --cfg job.")
    unknown = [str(name) for name in values if name not in names and name not in optional]
    missing = [name for name in names if name not in values]
    if unknown or missing:
        found = ", ".join(
            [f"missing setting {name!r}" for name in missing] + [f"unknown setting {name!r}" for name in unknown]
        )
        place = where or "configuration"
        raise UserError(f"{place}: {found}; expected {', '.join([*names, *optional])}. See das-ag run --cfg job.")
    return values


def short_name(value: object, where: str) -> str:
    """Returns the value if it is a short name; raises UserError otherwise."""
    if not SHORT_NAME.fits(value):
        raise UserError(f"{where}: expected {SHORT_NAME.words}, got {value!r}; rename it.")
    return str(value)


def convert(kind: Any, value: object, where: str) -> Any:
    """Converts a plain value to type `kind`; raises UserError if it has another type."""
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        return build(kind, value, where)
    if typing.get_origin(kind) is types.UnionType:  # of a type and None
        if value is None:
            return None
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            raise UserError(
                f"{where}: expected {len(parts)} values in brackets, got {value!r}; see das-ag run --cfg job."
            )
        return tuple(convert(part, item, where) for part, item in zip(parts, value, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{where}: expected {_KINDS[kind]}, got {value!r}; see das-ag run --cfg job.")
    return value
