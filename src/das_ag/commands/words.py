"""Lists the names that a prompt for the default guide can contain, for das-ag list words."""

from __future__ import annotations

import itertools
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

from das_ag.models.words import Thing, class_names, groups, known_names, nearest, read_text

INDENT = "  "
GAP = 2
NO_BREAK = "\N{NO-BREAK SPACE}"
FIRST_COLUMN = 30
"""Width of the column of first names; a longer name gets its own line."""


def show(word: str) -> int:
    """Prints the names with this word, or all names if it is empty; returns 1 if no name has it."""
    width = shutil.get_terminal_size().columns
    found = find(word) if word else ()
    if not word:
        print(*everything(width), sep="\n")
    elif found:
        print(*textwrap.wrap(meaning(word), width), "", *explained(found, width), sep="\n")
    else:
        near = nearest(word, count=5)
        hint = f"Similar names: {', '.join(near)}." if near else "Leave the word out to list all names."
        print(f'No name contains "{word}". {hint}')
    return 1 if word and not found else 0


def everything(width: int) -> Iterator[str]:
    """Lines with the names of all groups, then of all classes by their first letter."""
    yield from (f"{len(groups())} groups of classes", "", *columns(list(groups()), width), "")
    names = sorted((names[0] for names in class_names()), key=str.casefold)
    yield from (f"{len(names):,} classes", "")
    for _, alike in itertools.groupby(names, key=lambda name: name[0].casefold()):
        yield from (*columns(list(alike), width), "")
    hint = "A prompt can also contain plurals and other names; to see them, run das-ag list words WORD."
    yield from textwrap.wrap(hint, width)


def columns(names: Sequence[str], width: int) -> list[str]:
    """Lines with as many columns as fit the width, in alphabetical order from top to bottom."""
    names = sorted(names, key=str.casefold)
    for height in range(1, len(names) + 1):
        parts = [names[start : start + height] for start in range(0, len(names), height)]
        widths = [max(map(len, part)) for part in parts]
        if len(INDENT) + sum(widths) + GAP * (len(parts) - 1) <= width:
            break
    rows = [[part[row] for part in parts if row < len(part)] for row in range(height)]
    return [INDENT + (" " * GAP).join(map(str.ljust, row, widths)).rstrip() for row in rows]


def meaning(word: str) -> str:
    """A sentence about the meaning of a text with only this word or name."""
    reading = read_text(word)
    if reading.unknown or not reading.things:
        return f'"{word}" alone is unknown. It is part of these names:'
    return f'"{word}" means {" and ".join(map(described, reading.things))}.'


def described(thing: Thing) -> str:
    """A thing as part of a sentence."""
    if thing.name in groups():
        return f"the group {thing.name} ({len(thing.classes)} classes)"
    return " or ".join(first_names(thing))


def first_names(thing: Thing) -> list[str]:
    """First names of the thing's classes."""
    return [class_names()[number][0] for number in thing.classes]


def find(word: str) -> list[Thing]:
    """Things that the word means or that have it in a name; if there are none, those with it inside a word."""
    by_thing = names_by_thing()
    for pattern in (rf"\b{re.escape(word)}\b", re.escape(word)):
        is_in = re.compile(pattern, re.IGNORECASE).search
        found = [thing for thing, names in by_thing.items() if any(map(is_in, names))]
        found = list(dict.fromkeys([*(thing for thing in read_text(word).things if thing in by_thing), *found]))
        if found:
            return found
    return []


def names_by_thing() -> dict[Thing, list[str]]:
    """All names of each group and each class, the first name first."""
    by_group = {group: Thing(group, classes) for group, classes in groups().items()}
    by_class = [Thing(names[0], (number,)) for number, names in enumerate(class_names())]
    names_of: dict[Thing, list[str]] = {thing: [thing.name] for thing in (*by_group.values(), *by_class)}
    for name, meant in known_names().items():
        things = [meant] if meant.name in by_group else [by_class[number] for number in meant.classes]
        for thing in things:
            if name not in names_of[thing]:
                names_of[thing].append(name)
    return names_of


def explained(found: Sequence[Thing], width: int) -> Iterator[str]:
    """Lines with each thing's first name, then a group's classes and all further names."""
    further = {thing: names[1:] for thing, names in names_by_thing().items()}
    found_groups = [thing for thing in found if thing.name in groups()]
    if found_groups:
        yield from ("Groups", "")
        for thing in found_groups:
            also = [f"also {', '.join(further[thing])}"] if further[thing] else []
            yield from entry(thing.name, [", ".join(first_names(thing)), *also], width)
        yield ""
    found_classes = [thing for thing in found if thing.name not in groups()]
    if found_classes:
        yield from ("Classes", "")
        for thing in found_classes:
            yield from entry(thing.name, [", ".join(further[thing])], width)
        yield ""


def entry(name: str, texts: Sequence[str], width: int) -> list[str]:
    """Lines with a name and, in a second column, lists of names, which break only at commas."""
    room = max(width - FIRST_COLUMN, 20)
    unbroken = [text.replace(" ", NO_BREAK).replace("," + NO_BREAK, ", ") for text in texts]
    lines = [line for text in unbroken for line in textwrap.wrap(text, room, break_on_hyphens=False)]
    if not lines or len(name) > FIRST_COLUMN - len(INDENT) - GAP:
        lines.insert(0, "")
    firsts = [INDENT + name, *[""] * (len(lines) - 1)]
    pairs = zip(firsts, lines, strict=True)
    return [(first.ljust(FIRST_COLUMN) + line).replace(NO_BREAK, " ").rstrip() for first, line in pairs]
