"""Arranges and checks the arguments of das-ag run before Hydra reads them."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
from collections.abc import Sequence
from typing import Any, NoReturn

from antlr4 import CommonTokenStream, InputStream
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser

from das_ag.errors import UserError, did_you_mean, repeated_in

MAX_VALUES = 100_000
"""Largest number of values of a sweep, as in `seeds=range(0,100)`; Hydra would collect any number without an end."""
OWN = "name=own"
"""Keeps the results of `prompt=…` apart from those of other prompts if the user gives no name."""
_TEXT = re.compile(r"(prompt|negative)=(.*)", re.DOTALL)
_ITEM = re.compile(r"""\s*(?:(["'])((?:(?!\1).|\1\1)*)\1|([^,]*?))\s*(?:,|\Z)""", re.DOTALL)
"""A text in a list. It needs quotes only if it contains a comma; the same quotes inside are then written twice."""
_OTHER_PROMPTS = re.compile(r"[+~]*prompts(@.*|\.positive.*|\.path)?=", re.DOTALL)
_COMMANDS = {"multirun": "-m", "cfg": "--cfg", "info": "--info", "shell_completion": "--shell-completion"}


def arrange(arguments: Sequence[str]) -> list[str]:
    """The arguments with all overrides before all flags, since Hydra reads no overrides after a flag in the middle.

    Raises:
        UserError: a flag is unknown, lacks its value, or cannot stand beside another flag; or `prompt=` beside others.
    """
    parser = get_args_parser()
    parser.error = _complain  # type: ignore[method-assign]
    found, left = parser.parse_known_intermixed_args(list(arguments))
    if left:
        raise UserError(f"unknown flag {left[0]!r}; {_instead_of(left[0], arguments)}")
    _check_flags(found)
    overrides = with_own_texts(found.overrides)
    if not found.multirun:
        overrides = [with_list_of_seeds(override) for override in overrides]
    return [*overrides, *(argument for argument in arguments if argument not in found.overrides)]


def _complain(message: str) -> NoReturn:
    raise UserError(f"{message}; see das-ag run --hydra-help.")


def _instead_of(flag: str, arguments: Sequence[str]) -> str:
    """What to write instead of an unknown flag, such as --steps=5, or --steps before 5."""
    name, _, value = flag.lstrip("-").partition("=")
    value = value or dict(itertools.pairwise(arguments)).get(flag, "-")
    if not value.startswith("-") and "=" not in value:
        return f"write {shlex.quote(f'{name}={value}')}."
    known = [text for action in get_args_parser()._actions for text in action.option_strings]
    near = did_you_mean(flag, known, count=1, cutoff=0.75)
    return f"see das-ag run --help and --hydra-help.{near}"


def _check_flags(found: argparse.Namespace) -> None:
    given = [flag for name, flag in _COMMANDS.items() if getattr(found, name)]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(given)}: expected only one of these flags; leave out {given[0]}, and give each setting "
            "one value."
        )
    if found.experimental_rerun:
        raise UserError("--experimental-rerun: das-ag keeps no such files; start the same command again.")
    asked = " ".join(found.overrides)
    if found.shell_completion and not re.fullmatch("(install|uninstall|query)=(bash|fish|zsh)", asked):
        raise UserError("--shell-completion: expected one of install=bash, install=fish, install=zsh beside it.")
    if found.resolve and not (found.cfg or found.help):
        raise UserError("--resolve: expected --cfg beside it; add --cfg job.")


def with_own_texts(overrides: Sequence[str]) -> list[str]:
    """The overrides with `prompt=…` and `negative=…`, whose texts are taken literally, in Hydra's grammar.

    Raises:
        UserError: `prompt=` or `negative=` occurs twice, or `prompt=` stands beside other prompts.
    """
    given = [found[1] for found in map(_TEXT.fullmatch, overrides) if found]
    if repeated := repeated_in(given):
        name = repeated[0]
        raise UserError(f"{name}: expected it once, got it again; for several texts write '{name}=[a text, another]'.")
    other = next(filter(_OTHER_PROMPTS.match, overrides), "")
    if "prompt" in given and other:
        raise UserError(f"prompt: expected no other prompts beside it, got {other!r}; leave out one of them.")
    own = [OWN] if "prompt" in given and not any(override.startswith("name=") for override in overrides) else []
    return [*map(_in_hydras_grammar, overrides), *own]


def _in_hydras_grammar(override: str) -> str:
    found = _TEXT.fullmatch(override)
    if not found:
        return override
    from das_ag.store.command import hydra_value  # late: it imports numpy, which --help does not need

    name = "prompt" if found[1] == "prompt" else "prompts.negative"
    return f"{name}={hydra_value(_texts_in(found[2]))}"


def _texts_in(value: str) -> list[str]:
    """The texts in brackets, or the value as the only text; none if it is empty."""
    value = value.strip()
    if not re.fullmatch(r"\[.*\]", value, re.DOTALL):
        return [value] if value else []
    items = [item.groups() for item in _ITEM.finditer(value[1:-1].strip())]
    return [text.replace(2 * quote, quote) if quote else bare for quote, text, bare in items[:-1]]  # the last: the end


def check_values(override: str) -> None:
    """Checks what Hydra does not check: endless numbers, and values in braces, as in `prompts.positive={mine: …}`.

    Raises:
        UserError: a number has too many digits; a range has more than `MAX_VALUES`; braces are empty, which Hydra would
            ignore; or they have a name twice, of which Hydra would keep one.
    """
    setting, _, value = override.partition("=")
    if re.search(r"\d{4000}", value.replace("_", "")):  # Python converts no more than 4,300
        raise UserError(f"{setting}: expected numbers of at most 4,000 digits, got more; shorten them.")
    if re.fullmatch(r"\s*\{\s*\}\s*", value) and not setting.startswith("+"):
        raise UserError(f"{setting}: expected values in the braces, got none; leave this argument out.")
    if "range(" in value:
        _swept_values(override)
    if value.count(":") > 1 and (repeated := _repeated_name(override)):
        raise UserError(f"{setting.strip('+')}: the name {repeated!r} occurs more than once; give each its own name.")


def _repeated_name(override: str) -> str | None:
    """A name that occurs twice within the same braces; None if there is none, or if Hydra cannot read the override."""
    lexer = OverrideLexer(InputStream(override))
    parser = OverrideParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
    waiting = [parser.override()]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.getChildren() if node.getChildCount() else ())
        if isinstance(node, OverrideParser.DictContainerContext):
            names = (pair.dictKey().getText().strip() for pair in node.dictKeyValuePair() if pair.dictKey())
            if repeated := repeated_in(names):
                return repeated[0]
    return None


def with_list_of_seeds(override: str) -> str:
    """`seeds=1,2,3` and `seeds=range(1,4)` with the list `[1,2,3]`; any other override unchanged.

    Raises:
        UserError: there are more than `MAX_VALUES`.
    """
    values = _swept_values(override) if re.match(r"\+*seeds=", override) else []
    are_simple = bool(values) and not any(isinstance(value, list | dict) for value in values)
    return f"seeds=[{','.join(map(str, values))}]" if are_simple else override


def _swept_values(override: str) -> list[Any]:
    """The values that a sweep would run one by one; none if the override is no sweep, or if Hydra cannot read it."""
    try:
        parsed = OverridesParser.create().parse_override(override)
        values = list(itertools.islice(parsed.sweep_iterator(), MAX_VALUES + 1)) if parsed.is_sweep_override() else []
    except HydraException:
        return []  # Hydra reports the error later
    if len(values) > MAX_VALUES:
        raise UserError(f"{parsed.key_or_group}: expected at most {MAX_VALUES:,} values, got more; shorten the range.")
    return values
