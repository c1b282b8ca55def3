"""What texts mean. Indices are ImageNet's, as every list of its 1,000 classes has them."""

import dataclasses
import json
import os
import subprocess
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest

from das_ag import cli
from das_ag.models import word_tables, words
from das_ag.models.word_tables import FILLERS
from das_ag.models.words import (
    NAMES,
    Reading,
    Thing,
    class_names,
    groups,
    known_names,
    nearest,
    read_text,
)
from das_ag.settings import environment

ROOT = Path(__file__).parents[2]


def read(text):
    """The one thing of a text that holds nothing else."""
    reading = read_text(text)
    assert len(reading.things) == 1, reading
    assert reading.unknown == (), reading
    return reading.things[0]


def classes(text):
    return read(text).classes


def table_from_timm():
    """What data/imagenet_names.json should hold; to make it again, write this there."""
    info = pytest.importorskip("timm.data", reason="the table is made from timm").ImageNetInfo()
    rows = [
        f"  {json.dumps(info.index_to_label_name(index))}: {json.dumps(info.index_to_description(index).split(', '))}"
        for index in range(info.num_classes())
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def test_the_table_is_that_of_timm():
    assert NAMES.read_text(encoding="utf-8") == table_from_timm()


def test_there_are_a_thousand_classes_each_with_a_first_name_of_its_own():
    names = class_names()
    assert len(names) == 1000
    assert all(each and all(each) for each in names)
    assert len({each[0].casefold() for each in names}) == 1000
    assert (names[0][0], names[1][0], names[292][0], names[999][0]) == ("tench", "goldfish", "tiger", "toilet tissue")
    assert names[2] == ("great white shark", "white shark", "man-eater", "man-eating shark", "Carcharodon carcharias")


def test_the_module_needs_neither_torch_nor_timm():
    program = (
        "import sys\n"
        "from das_ag.models import words\n"
        "words.read_text('a tiger')\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("tench", 0), ("goldfish", 1), ("ostrich", 9), ("flamingo", 130), ("pug", 254), ("tiger", 292), ("zebra", 340),
        ("volcano", 980), ("castle", 483), ("daisy", 985), ("umbrella", 879), ("teapot", 849), ("Model T", 661),
        ("orca", 148), ("Panthera tigris", 292), ("RV", 757), ("trash can", 412), ("lighthouse", 437),
    ],
)  # fmt: skip
def test_a_class_has_all_its_names(text, index):
    assert read(text) == Thing(class_names()[index][0], (index,))


def test_every_name_of_every_class_is_read():
    for number, names in enumerate(class_names()):
        assert classes(names[0]) == (number,), names
        for name in names[1:]:
            assert read_text(name).unknown == (), name
            assert len(read_text(name).things) == 1, name


def test_known_names_say_what_a_text_of_the_name_says():
    assert len(known_names()) > 2000
    for name, thing in known_names().items():
        assert read_text(name) == Reading((thing,), ()), name


@pytest.mark.parametrize(
    ("several", "one"),
    [
        ("tigers", "tiger"), ("wolves", "wolf"), ("mice", "mouse"), ("geese", "goose"), ("oxen", "ox"),
        ("foxes", "fox"),
        ("butterflies", "butterfly"), ("daisies", "daisy"), ("strawberries", "strawberry"), ("monkeys", "monkey"),
        ("ostriches", "ostrich"), ("brushes", None), ("French loaves", "French loaf"), ("knives", "knife"),
        ("giraffes", None), ("safes", "safe"), ("volcanoes", "volcano"), ("volcanos", "volcano"), ("pianos", "piano"),
        ("buses", "bus"), ("abaci", "abacus"), ("abacuses", "abacus"), ("fungi", "fungus"),
        ("hot-air balloons", "balloon"), ("suits of clothes", "suit"), ("hens-of-the-woods", "hen-of-the-woods"),
        ("sunglasses", "sunglasses"), ("crosswords", "crossword"), ("mongooses", "mongoose"), ("teddies", "teddy"),
        ("sheep", "sheep"), ("fishes", "fish"), ("leaf beetles", "leaf beetle"), ("jeans", "jean"), ("boxes", "box"),
        ("baseball players", "ballplayer"), ("cranes", "crane"), ("polecats", "polecat"), ("bears", "bear"),
    ],
)  # fmt: skip
def test_plurals(several, one):
    if one is None:
        assert read_text(several) == Reading((), (several,))
    else:
        assert read(several) == read(one)


def test_every_group_and_class_has_a_plural():
    for name, thing in known_names().items():
        if len(name.split()) == 1 and name[-1] not in "sxzhy":
            assert thing in (read(name + "s"), read(name)), name


def test_no_plural_means_two_things():
    by_plural = {}
    for name, thing in known_names().items():
        for plural in words._plurals(words._plain(name)):
            by_plural.setdefault(words._key(plural), set()).add(thing)
    known = {words._key(words._plain(name)): thing for name, thing in known_names().items()}
    assert [key for key, things in by_plural.items() if len(things) > 1] == []
    others = {key for key, things in by_plural.items() if key in known and known[key] not in things}
    assert others == {"sunglasses"}  # of one sunglass; the group, which holds it


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("TIGER", 292), ("Tiger!", 292), ("“tiger”", 292), ("tiger’s", 292), ("(tiger)", 292), ("a tiger.", 292),
        ("hot-air balloon", 417), ("hot air balloon", 417), ("hot–air balloon", 417), ("HotAirBalloon", 417),
        ("gold fish", 1), ("gold-fish", 1), ("star fish", 327), ("sea-lion", 150), ("tshirt", 610), ("T-shirt", 610),
        ("jack-o'-lantern", 607), ("jack o’ lantern", 607), ("hen of the woods", 996), ("carpenters plane", 726),
        ("yellow ladys slipper", 986), ("St. Bernard", 247), ("R.V.", 757), ("great_white_shark", 2),
        ("ｔｉｇｅｒ", 292), ("consommé", 925), ("consomme\N{COMBINING ACUTE ACCENT}", 925), ("Brabançon griffon", 262),
        ("gold\N{SOFT HYPHEN}fish", 1), ("ﬂamingo", 130), ("  tiger\t\n", 292), ("#tiger", 292),
    ],
)  # fmt: skip
def test_case_punctuation_hyphens_gaps_and_accents_are_ignored(text, index):
    assert classes(text) == (index,)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a tiger shark", ["tiger shark"]),
        ("a tiger and a shark", ["tiger", "shark"]),
        ("tiger, shark", ["tiger", "shark"]),
        ("tiger; shark", ["tiger", "shark"]),
        ("tiger/shark", ["tiger", "shark"]),
        ("tiger + shark", ["tiger", "shark"]),
        ("tiger\nshark", ["tiger", "shark"]),
        ("a goldfish", ["goldfish"]),
        ("golden retriever", ["golden retriever"]),
        ("polar bear", ["polar bear"]),
        ("sea lion", ["sea lion"]),
        ("sea, lion", ["seashore", "lion"]),
        ("red fox squirrel", ["red fox", "squirrel"]),
        ("hot dog", ["hotdog"]),
        ("bow tie", ["bow tie"]),
        ("computer mouse", ["computer mouse"]),
        ("bell pepper", ["bell pepper"]),
        ("monarch butterfly", ["monarch"]),
        ("black and gold garden spider", ["black and gold garden spider"]),
        ("jack-o'-lantern on a church", ["jack-o'-lantern", "church"]),
    ],
)
def test_the_longest_name_wins(text, names):
    reading = read_text(text)
    first_names = {"squirrel": "fox squirrel"}
    assert [thing.name for thing in reading.things] == [first_names.get(name, name) for name in names]
    assert reading.unknown == ()


def test_an_article_is_no_part_of_a_word():
    """ "a corn" is no acorn; in the middle of a name it is a part."""
    assert classes("a corn") == classes("corn")
    assert classes("acorn") == (988,)
    assert read_text("bo a") == Reading((), ("bo",))


def test_names_after_one_another_keep_the_order_of_the_text():
    things = read_text("a volcano, a castle and a tiger in front of a volcano").things
    assert [thing.classes for thing in things] == [(980,), (483,), (292,)]


def test_what_is_said_twice_is_one_thing():
    assert read_text("a dog, dogs and a puppy").things == (Thing("dog", tuple(range(151, 269))),)
    assert read_text("tiger and Panthera tigris").things == (Thing("tiger", (292,)),)


KNOWN_GROUPS = {
    "shark": (2, 3, 4),
    "frog": (30, 31, 32),
    "turtle": (33, 34, 35, 36, 37),
    "lizard": tuple(range(38, 49)),
    "snake": tuple(range(52, 69)),
    "spider": tuple(range(72, 78)),
    "dog": tuple(range(151, 269)),  # the 118 breeds of ImageNet
    "poodle": (265, 266, 267),
    "wolf": (269, 270, 271),
    "fox": (277, 278, 279, 280),
    "cat": (281, 282, 283, 284, 285),
    "bear": (294, 295, 296, 297),
    "beetle": tuple(range(300, 308)),
    "butterfly": tuple(range(321, 327)),
    "rabbit": (330, 331, 332),
    "ape": (365, 366, 367, 368, 369),
    "monkey": tuple(range(370, 383)),
    "elephant": (101, 385, 386),
    "whale": (147, 148),
    "duck": (97, 98),
    "parrot": (87, 88, 89, 90),
    "guitar": (402, 546),
    "piano": (579, 881),
    "clock": (409, 530, 892),
    "plane": (404, 895),
    "car": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    "truck": (555, 569, 675, 717, 864, 867),
    "bicycle": (444, 671),
    "ship": (403, 510, 628, 724, 780),
    "fruit": tuple(range(948, 958)),
    "mushroom": (947, 992, 997),
    "mountain": (970, 980),
    "bridge": (821, 839, 888),
    "hat": (439, 452, 515, 667, 808),
    "ball": (429, 430, 522, 574, 722, 768, 805, 852, 890),
}
"""Looked up by hand in a list of ImageNet's classes."""


@pytest.mark.parametrize(("group", "indices"), KNOWN_GROUPS.items())
def test_a_group_holds_the_right_classes(group, indices):
    assert groups()[group] == indices
    assert read(f"a {group}") == Thing(group, indices)


def test_groups_have_classes_in_order_and_without_repetition():
    assert len(groups()) > 50
    for group, indices in groups().items():
        assert len(indices) > 1, group
        assert all(a < b for a, b in pairwise(indices)), group
        assert set(indices) <= set(range(1000)), group
    assert len(set(groups().values())) == len(groups())


def test_the_everyday_things_have_a_name():
    asked = (
        "dog cat bird fish flower ship boat car truck snake lizard frog turtle monkey ape bear wolf fox butterfly "
        "insect beetle spider shark fruit vegetable mushroom house building church instrument guitar bottle hat shoe "
        "chair bed train plane bicycle clock phone computer ball food bread cup owl duck crab whale rabbit horse cow "
        "sheep mountain beach landscape water airplane bus bridge tv sofa table lamp book pen camera gun helmet apple "
        "pumpkin coffee wine pizza lake ocean eagle penguin swan parrot chicken panda kitten puppy squirrel goat camel "
        "pig lion elephant"
    )
    reading = read_text(asked)
    assert reading.unknown == ()


def test_every_bird_is_in_the_group():
    """59 species, as ImageNet is known to have."""
    birds = groups()["bird"]
    assert len(birds) == 59
    for group in ("chicken", "finch", "parrot", "duck", "stork", "heron"):
        assert set(groups()[group]) <= set(birds), group
    for name in ("owl", "eagle", "penguin", "swan", "peacock"):
        assert set(classes(name)) <= set(birds), name


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("dog", ["hound", "terrier", "schnauzer", "retriever", "setter", "spaniel", "husky", "corgi", "poodle"]),
        ("reptile", ["turtle", "lizard", "snake", "rattlesnake", "sea turtle", "crocodile", "alligator"]),
        ("amphibian", ["frog", "salamander", "newt"]),
        ("insect", ["beetle", "butterfly", "bee", "ant", "ladybug", "dragonfly", "grasshopper"]),
        ("fungus", ["mushroom", "toadstool"]),
        ("landscape", ["mountain", "beach", "lake", "valley"]),
        ("train", ["locomotive"]),
        ("building", ["church", "castle", "barn"]),
    ],
)
def test_a_wide_group_holds_the_narrower_ones(whole, parts):
    for part in parts:
        assert set(classes(part)) < set(classes(whole)), part


@pytest.mark.parametrize(
    ("one", "other"),
    [("cat", "big cat"), ("cat", "lemur"), ("dog", "wolf"), ("dog", "fox"), ("fish", "shark"), ("fish", "whale"),
     ("monkey", "ape"), ("bird", "insect"), ("car", "truck"), ("boat", "ship"), ("fruit", "vegetable"),
     ("mushroom", "vegetable"), ("spider", "insect"), ("frog", "turtle"), ("plane", "tool"), ("hat", "helmet")],
)  # fmt: skip
def test_groups_that_have_nothing_in_common(one, other):
    assert not set(classes(one)) & set(classes(other))


def test_groups_take_no_class_its_first_name():
    """So that each class can be named alone; a class that would share its name has another first name."""
    first_names = {names[0].casefold() for names in class_names()}
    others = {name for listed in word_tables.EVERYDAY_NAMES.values() for name in listed.split(", ")}
    assert not first_names & set(groups())
    assert not first_names & others
    assert not others & set(groups())


@pytest.mark.parametrize(
    ("text", "index", "name"),
    [
        ("hot air balloon", 417, "balloon"), ("monarch butterfly", 323, "monarch"), ("sailing ship", 780, "schooner"),
        ("horse", 339, "sorrel (horse)"), ("cow", 345, "ox"), ("apple", 948, "Granny Smith"),
        ("pumpkin", 607, "jack-o'-lantern"), ("owl", 24, "great grey owl"), ("eagle", 22, "bald eagle"),
        ("penguin", 145, "king penguin"), ("grizzly bear", 294, "brown bear"), ("clownfish", 393, "anemone fish"),
        ("python", 62, "rock python"), ("burger", 933, "cheeseburger"), ("fighter jet", 895, "warplane"),
        ("spaceship", 812, "space shuttle"), ("TV", 851, "television"), ("sofa", 831, "studio couch"),
        ("blimp", 405, "airship"), ("ocean", 978, "seashore"), ("lake", 975, "lakeside"), ("vale", 979, "valley"),
    ],
)  # fmt: skip
def test_everyday_names(text, index, name):
    assert read(text) == Thing(name, (index,))


@pytest.mark.parametrize(
    ("text", "group"),
    [("puppy", "dog"), ("kittens", "cat"), ("bunnies", "rabbit"), ("bug", "insect"), ("airplane", "plane"),
     ("aeroplanes", "plane"), ("automobile", "car"), ("lorry", "truck"), ("bike", "bicycle"),
     ("glasses", "sunglasses")],
)  # fmt: skip
def test_everyday_names_of_groups(text, group):
    assert read(text) == Thing(group, groups()[group])


@pytest.mark.parametrize(
    ("text", "name", "indices"),
    [
        ("crane", "crane", (134, 517)),  # bird and machine
        ("maillot", "maillot", (638, 639)),  # two swimsuits
        ("panther", "panther", (286, 290)),  # cougar and jaguar
        ("horn", "horn", (513, 566)),  # cornet and French horn
        ("catamount", "catamount", (286, 287)),
        ("grass snake", "grass snake", (55, 57)),
    ],
)
def test_a_name_of_several_classes_means_all(text, name, indices):
    assert read(text) == Thing(name, indices)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("crane (bird)", 134), ("crane bird", 134), ("crane (machine)", 517), ("tank suit", 639),
        ("Cardigan Welsh corgi", 264), ("mushroom (edible)", 947), ("sunglass", 836), ("dark glasses", 837),
    ],
)  # fmt: skip
def test_each_class_of_a_shared_name_can_be_named_alone(text, index):
    assert classes(text) == (index,)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("cardigan", 474),  # the jacket, not the dog
        ("gong", 577),  # not the chime
        ("harp", 594),  # not the mouth harp
        ("missile", 657),
        ("partridge", 86),
        ("crayfish", 124),
        ("panda", 388),  # the giant panda; the red panda has that name
        ("boa", 61),  # the snake, not the scarf
        ("wagon", 603),  # that of a horse, not a station wagon
    ],
)
def test_a_name_means_what_a_person_expects(text, index):
    assert classes(text) == (index,)


def test_a_plane_flies():
    assert read("plane") == Thing("plane", (404, 895))
    assert classes("carpenter's plane") == (726,)


def test_first_names_say_what_is_meant_where_the_word_alone_misleads():
    assert (read("ear").name, read("mouse").name, read("kite").name) == ("ear of corn", "computer mouse", "kite (bird)")


def test_withheld_names_are_unknown():
    """ImageNet's "light" is a lighter, its "mole" a breakwater, its "sweet potato" an ocarina."""
    listed = json.loads(NAMES.read_text(encoding="utf-8")).values()
    further = {name for names in listed for name in names[1:]}
    assert further >= word_tables.WITHHELD
    for name in word_tables.WITHHELD:
        assert read_text(name) == Reading((), tuple(name.split())), name
    assert read_text("a light blue dog").unknown == ("light", "blue")
    assert classes("traffic light") == (920,)


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("a beagle dog", (162,)),
        ("boxer dog", (242,)),
        ("cardigan", (474,)),
        ("robin bird", (15,)),
        ("crane bird", (134,)),
        ("two-piece swimsuits", (445,)),
        ("beach landscape", (977, 978)),
        ("dogs dog", tuple(range(151, 269))),
    ],
)
def test_a_group_right_after_a_name_only_says_its_kind(text, indices):
    assert classes(text) == indices


def test_elsewhere_a_group_is_a_thing_of_its_own():
    for text in ("a beagle and a dog", "beagle, dog", "dog beagle"):
        assert {thing.name for thing in read_text(text).things} == {"beagle", "dog"}, text
    assert [thing.name for thing in read_text("panther cat").things] == ["panther", "cat"]


def test_unknown_words_are_reported_as_they_are_written_and_once():
    reading = read_text("A Beautiful unicorn and a tiger, beautiful, under 3 Moons")
    assert reading.unknown == ("Beautiful", "unicorn", "under", "3", "Moons")
    assert [thing.classes for thing in reading.things] == [(292,)]


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("🦄", ("🦄",)),
        ("tiger🦄", ("🦄",)),
        ("🐶🐱", ("🐶", "🐱")),
        ("I ❤️ it", ("I", "❤", "it")),
        ("👍🏽", ("👍",)),
        ("👩‍🚀", ("👩", "🚀")),
        ("7", ("7",)),
        ("2 dogs in 1999", ("2", "1999")),
        ("собака", ("собака",)),
        ("虎", ("虎",)),
        ("कुत्ता", ("कुत्ता",)),
        ("كلب", ("كلب",)),
        ("größer", ("größer",)),
        ("5 €", ("5", "€")),
        ("<tiger>", ("<", ">")),
        ("\ue000", ("\ue000",)),
    ],
)
def test_numbers_symbols_and_other_scripts_are_reported(text, unknown):
    assert read_text(text).unknown == unknown


@pytest.mark.parametrize("text", ["", " ", "\n", "...", ",;!", "a photo of", "The picture.", "-", "'", "\x00"])
def test_texts_that_say_nothing(text):
    assert read_text(text) == Reading((), ())


def test_fillers_are_grammar_and_words_for_picture_alone():
    assert read_text(" ".join(FILLERS)) == Reading((), ())
    style = "beautiful photorealistic painting drawing oil style dark red two many above under near without no not or"
    assert read_text(style).unknown == tuple(style.split())


def test_fillers_are_no_names_but_parts_of_some():
    assert not FILLERS & {name.casefold() for name in known_names()}
    assert classes("a picture palace") == (498,)


def test_a_long_text_is_read_to_its_end():
    reading = read_text("very " * 2000 + "tiger" + "x" * 5000 + " tiger")
    assert [thing.name for thing in reading.things] == ["tiger"]
    assert len(reading.unknown) == 2


def test_every_character_is_read():
    """Nothing that can be typed ends in an error, and no letter or digit is lost."""
    lost = set()
    for code in [*range(0x3000), *range(0xD7F0, 0xE010), *range(0xFE00, 0x10000), *range(0x1F000, 0x1FB00)]:
        character = chr(code)
        reading = read_text(f"tiger, {character}")
        assert reading.things == (Thing("tiger", (292,)),)
        if character.isalnum() and not reading.unknown:
            lost.add(unicodedata.normalize("NFKD", character)[0].casefold())
    assert lost == {"a", "ʼ"}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("tigre", "tiger"), ("sharc", "shark"), ("buterfly", "butterfly"), ("volcanoe", "volcano"), ("Casle", "castle"),
        ("golden retreiver", "golden retriever"), ("retreiver", "retriever"), ("hot air baloon", "hot-air balloon"),
        ("elefant", "elephant"), ("goldfsih", "goldfish"), ("great wite shark", "great white shark"),
        ("airplan", "airplane"),
    ],
)  # fmt: skip
def test_the_nearest_name_comes_first(typed, name):
    assert nearest(typed)[0] == name


def test_nearest_names_are_known_few_and_different_things():
    for typed in ("person", "woman", "wolfs", "gray wolff", "unicorn"):
        near = nearest(typed)
        assert 0 < len(near) <= 3
        assert len({known_names()[name].classes for name in near}) == len(near)
    assert len(nearest("person", count=2)) == 2
    assert len(nearest("person", count=1)) == 1
    assert nearest("person", count=0) == ()


@pytest.mark.parametrize("typed", ["", "zzzzqqq", "🦄", "東京", "  ", "beautiful"])
def test_nothing_is_near(typed):
    assert nearest(typed) == ()


def test_what_is_returned_cannot_be_changed():
    with pytest.raises(TypeError):
        groups()["dog"] = (1,)
    with pytest.raises(TypeError):
        known_names()["dog"] = Thing("dog", (1,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        read("tiger").name = "lion"


@pytest.fixture
def script(monkeypatch, tmp_path, capsys):
    """Runs das-ag list words in this process, 80 characters wide: exit status, stdout."""
    monkeypatch.setattr(environment, "DOTENV", tmp_path / "no.env")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # which would else be set for good
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        return cli.main(["list", "words", *arguments]), capsys.readouterr().out

    return run


def test_the_script_lists_groups_then_classes_within_the_width(script, monkeypatch):
    for width in (80, 132, 20):
        monkeypatch.setenv("COLUMNS", str(width))
        status, out = script()
        lines = out.splitlines()
        assert status == 0
        assert lines[0] == f"{len(groups())} groups of classes"
        start = lines.index("1,000 classes")
        assert max(map(len, lines[1:start])) <= width
        longest = max(len(names[0]) for names in class_names()) + 2
        assert max(map(len, lines[start:-1])) <= max(width, longest)
        for names in class_names():
            assert any(f"  {names[0]}" in line for line in lines[start:]), names[0]
        for group in groups():
            assert any(f"  {group}" in line for line in lines[:start]), group


def test_the_script_finds_a_word(script):
    status, out = script("shark")
    assert status == 0
    assert out == (
        '"shark" means the group shark (3 classes).\n'
        "\n"
        "Groups\n"
        "\n"
        "  shark                       great white shark, tiger shark, hammerhead\n"
        "\n"
        "Classes\n"
        "\n"
        "  great white shark           white shark, man-eater, man-eating shark,\n"
        "                              Carcharodon carcharias\n"
        "  tiger shark                 Galeocerdo cuvieri\n"
        "  hammerhead                  hammerhead shark\n"
        "\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["wolves"], '"wolves" means the group wolf (3 classes).'),
        (["CRANE"], '"CRANE" means crane (bird) or crane (machine).'),
        (["horse"], '"horse" means sorrel (horse).'),
        (["gold", "fish"], '"gold fish" means goldfish.'),
        (["puppy"], "                              also doggy, puppy"),
        (["light"], '"light" alone is unknown. It is part of these names:'),
        (["pit", "bull"], "  American Staffordshire terrier"),
        (["mountain", "lion"], "  cougar                      puma, catamount, mountain lion, panther,"),
        (["terrie"], "  Airedale                    Airedale terrier"),
    ],
)
def test_the_script_says_what_a_word_means(script, arguments, line):
    status, out = script(*arguments)
    assert status == 0
    assert line in out.splitlines()


def test_the_script_names_the_nearest_where_it_finds_none(script):
    assert script("buterfly") == (1, 'No name contains "buterfly". Similar names: butterfly.\n')
    assert script("zzzzqqq") == (1, 'No name contains "zzzzqqq". Leave the word out to list all names.\n')


def test_a_reader_who_leaves_ends_the_script_in_silence(script, monkeypatch, capsys):
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    with os.fdopen(writing_end, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        status, _ = script()
    assert (status, capsys.readouterr().err) == (0, "")
