"""Reads texts into classes of ImageNet, without a network.

The names of the classes are ImageNet's own, from WordNet, as `timm.data.ImageNetInfo` lists them; a test makes
data/imagenet_names.json again from there. `word_tables` adds what people say instead: everyday names, and
groups such as "dog" that stand for several classes.

One name can mean several things. It means, in this order: the group or everyday name of `word_tables`; the class that
has it as its first name; every class that has it as a further name. So "gong" is the gong and not the chime, and
"crane" is the bird and the machine, as ImageNet has both; "crane (bird)" is the bird alone.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from das_ag.models import word_tables
from das_ag.models.word_tables import EVERYDAY_NAMES, FILLERS, FIRST_NAMES, GROUPS, WITHHELD

NAMES = Path(__file__).parent / "data" / "imagenet_names.json"

_IRREGULAR = {"foot": "feet", "goose": "geese", "man": "men", "mouse": "mice", "ox": "oxen", "tooth": "teeth"}
_BREAKS = frozenset(",;:!?/|&+\n\r—")
"""No name goes on across these: "tiger, shark" is no tiger shark."""
_APOSTROPHES = frozenset("'’‘ʼ`´")


@dataclass(frozen=True)
class Thing:
    """What a name stands for.

    Attributes:
        name: the first name of a class, the name of a group, or a name that several classes share.
        classes: indices of ImageNet, ascending, at least one.
    """

    name: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """What a text says.

    Attributes:
        things: in the order of the text, without repetition.
        unknown: words, numbers and symbols that no class has, as they are written, without repetition.
    """

    things: tuple[Thing, ...]
    unknown: tuple[str, ...]


@lru_cache(maxsize=4096)
def read_text(text: str) -> Reading:
    """Finds the names in a text, the longest first. Case, punctuation, accents, hyphens and gaps in names are equal.

    A group right after a name only says its kind: a "beagle dog" is a beagle, a "crane bird" is not the machine.
    """
    index, longest = _index()
    things: list[Thing] = []
    unknown: dict[str, str] = {}
    for phrase in _phrases(text):
        pieces = [_piece(word) for word in phrase]
        start = end = 0  # of the word that is read; behind the last thing
        while start < len(pieces):
            thing, length = _longest_match(pieces, start, index, longest)
            if thing is not None:
                of_kind = _of_kind(things[-1], thing) if things and 0 < end == start else None
                things[-1 if of_kind else len(things) :] = [of_kind or thing]
                end = start + length
            elif pieces[start].strip() not in FILLERS:
                unknown.setdefault(pieces[start], phrase[start])
            start += length
    return Reading(tuple(dict.fromkeys(things)), tuple(unknown.values()))


def _longest_match(pieces: list[str], start: int, index: Mapping[str, Thing], longest: int) -> tuple[Thing | None, int]:
    """The thing that begins at a word, and of how many words its name is; 1 where nothing begins."""
    found, length, key = None, 1, ""
    for place in range(start, len(pieces)):
        key += pieces[place]
        if len(key) > longest:
            break
        if key in index:
            found, length = index[key], place + 1 - start
    return found, length


def _of_kind(thing: Thing, kind: Thing) -> Thing | None:
    """The classes of a thing that belong to a group; None where `kind` is no group, or none of them do."""
    common = tuple(sorted(set(thing.classes) & set(kind.classes)))
    if kind.name not in groups() or not common:
        return None
    return thing if common == thing.classes else _thing(f"{thing.name} {kind.name}", common)


def nearest(word: str, count: int = 3) -> tuple[str, ...]:
    """At most `count` known names that are spelt much like a word or words, the nearest first, one for each thing."""
    known = _known()
    close = difflib.get_close_matches(_key(_plain(word)), known, n=10 * count, cutoff=0.7) if count > 0 else []
    by_thing: dict[tuple[int, ...], str] = {}
    for key in close:
        name, thing = known[key]
        by_thing.setdefault(thing.classes, name)
    return tuple(by_thing.values())[:count]


@cache
def digest() -> str:
    """SHA-256 of all that decides which classes a text names."""
    tables = NAMES.read_bytes(), Path(word_tables.__file__).read_bytes(), Path(__file__).read_bytes()
    return hashlib.sha256(b"".join(tables)).hexdigest()


@cache
def class_names() -> tuple[tuple[str, ...], ...]:
    """All names of each of the 1,000 classes, the one to show first."""
    listed: dict[str, list[str]] = json.loads(NAMES.read_text(encoding="utf-8"))
    return tuple(
        tuple(dict.fromkeys([FIRST_NAMES.get(number, names[0]), *(name for name in names if name not in WITHHELD)]))
        for number, names in enumerate(listed.values())
    )


@cache
def groups() -> Mapping[str, tuple[int, ...]]:
    """Classes of each group, ascending."""
    number = {names[0]: number for number, names in enumerate(class_names())}
    members: dict[str, set[int]] = {group: set() for group in GROUPS}
    for group, listed in GROUPS.items():
        for part in listed.split(", "):
            first, _, last = part.partition(" to ")
            members[group].update(range(number[first], number[last or first] + 1))
    return MappingProxyType({group: tuple(sorted(numbers)) for group, numbers in members.items()})


def known_names() -> Mapping[str, Thing]:
    """What each name stands for: of groups, of classes, and everyday names, all in the singular."""
    return MappingProxyType(dict(_known().values()))


@cache
def _known() -> dict[str, tuple[str, Thing]]:
    """Every name and what it stands for, by its key."""
    things = {group: Thing(group, classes) for group, classes in groups().items()}
    things |= {names[0]: _thing(names[0], (number,)) for number, names in enumerate(class_names())}
    everyday = {name: things[first] for first, listed in EVERYDAY_NAMES.items() for name in listed.split(", ")}
    known = {_key(_plain(name)): (name, thing) for name, thing in (things | everyday).items()}
    shared: dict[str, tuple[str, set[int]]] = {}
    for number, names in enumerate(class_names()):
        for name in names[1:]:
            shared.setdefault(_key(_plain(name)), (name, set()))[1].add(number)
    return {key: (name, _thing(name, tuple(sorted(numbers)))) for key, (name, numbers) in shared.items()} | known


def _thing(name: str, classes: tuple[int, ...]) -> Thing:
    """A single class goes by its first name."""
    return Thing(class_names()[classes[0]][0] if len(classes) == 1 else name, classes)


@cache
def _index() -> tuple[dict[str, Thing], int]:
    """Things by the keys of their names, plurals too, and the length of the longest key."""
    known = _known().values()
    plurals = {_key(plural): thing for name, thing in known for plural in _plurals(_plain(name))}
    index = plurals | {_key(_plain(name)): thing for name, thing in known}
    return index, max(map(len, index))


def _plurals(words: list[str]) -> Iterator[list[str]]:
    """All plurals that a name may have in English, and some, such as "mongeese", that nobody writes."""
    place = words.index("of") - 1 if "of" in words else -1  # suits of clothes
    word = words[place]
    endings = [word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")]
    endings += [word + "es"] if word.endswith("o") else []
    endings += [word[:-1] + "ies"] if word.endswith("y") else []
    endings += [word.rstrip("e")[:-1] + "ves"] if word.endswith(("f", "fe")) else []
    endings += [word[:-2] + "i"] if word.endswith("us") else []
    endings += [word.removesuffix(one) + many for one, many in _IRREGULAR.items() if word.endswith(one)]
    yield from ([*words[:place], plural, *words[place:][1:]] for plural in endings)


def _phrases(text: str) -> list[list[str]]:
    """The words of a text as they are written, by phrase; symbols are words of their own."""
    return [phrase.split() for phrase in unicodedata.normalize("NFKC", text).translate(_CHARACTERS).split(",")]


def _plain(name: str) -> list[str]:
    """The words of a name in lower case, without accents."""
    return [_piece(word).strip() for phrase in _phrases(name) for word in phrase]


def _key(words: Iterable[str]) -> str:
    """The words of a name joined: "gold fish" is "goldfish"."""
    return "".join(map(_piece, words))


@lru_cache(maxsize=65536)
def _piece(word: str) -> str:
    """A word as a part of keys: without case and accents. Fillers keep a gap, so that "a corn" is no acorn."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.category(letter).startswith("M"))
    return f" {plain} " if plain in FILLERS else plain


class _Characters(dict[int, str]):
    """What each character becomes: itself, a gap, a comma between phrases, nothing, or a word of its own."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = _read_character(character)
        return self[code]


def _read_character(character: str) -> str:
    category = unicodedata.category(character)
    if character in _BREAKS:
        return ","
    if character in _APOSTROPHES or category == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return ""  # spider's is spiders; Cf and variation selectors are invisible
    if category[0] in "LMN":
        return character
    return f" {character} " if category in ("Sc", "Sm", "So", "Co", "Cn") and character != "~" else " "


_CHARACTERS = _Characters()
