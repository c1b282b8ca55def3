"""Prompts from the configuration, and from files as people and spreadsheets write them."""

from __future__ import annotations

import codecs
import hashlib
import json
from pathlib import Path

import pytest

from das_ag.errors import UserError
from das_ag.settings.prompts import Prompt, prompts_of
from das_ag.store.schema import NAME


@pytest.fixture
def read(tmp_path, monkeypatch):
    """The prompts of a file with this content."""
    monkeypatch.chdir(tmp_path)

    def read(content, name="prompts.csv", negative=()):
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return prompts_of({"path": name, "negative": list(negative)})

    return read


@pytest.fixture
def told(read):
    """What is said of a file with this content."""

    def told(content, name="prompts.csv"):
        with pytest.raises(UserError) as error:
            read(content, name)
        return str(error.value)

    return told


def texts(prompts):
    return [prompt.positive for prompt in prompts]


def ids(prompts):
    return [prompt.id for prompt in prompts]


def objects(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def is_a_sentence(message):
    return message.endswith(".") and ": " in message and "; " in message


# ---- the configuration


def test_named_prompts_in_their_order():
    positive = {"b": " a red heart ", "a": ["a blue ring", "a ring\t"]}
    assert prompts_of({"positive": positive, "negative": ["a cross", "a star "]}) == (
        Prompt("b", ("a red heart",), ("a cross", "a star"), None, "prompts.positive.b", "prompts.negative"),
        Prompt("a", ("a blue ring", "a ring"), ("a cross", "a star"), None, "prompts.positive.a", "prompts.negative"),
    )


@pytest.mark.parametrize(
    ("negative", "expected"), [(None, ()), ([], ()), ("a cross", ("a cross",)), (["a", "b"], ("a", "b"))]
)
def test_negative_is_nothing_a_text_or_several(negative, expected):
    assert prompts_of({"positive": {"a": "a ring"}, "negative": negative})[0].negative == expected


NAMES = "expected a short name of at most 64 letters, digits and . _ -, a letter or digit first"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"positive": {}}, "prompts.positive: expected named prompts, got {}; give for instance "
                           "'prompts.positive={mine: \"a red circle\"}'."),
        ({"positive": ["a ring"]},
         "prompts.positive: expected named prompts, got ['a ring']; give each an id and a prompt."),
        ({"positive": [{"id": "007"}]},
         "prompts.positive: missing setting 'prompt'; expected id, prompt. See das-ag run --cfg job."),
        ({"positive": [{"id": "a", "prompt": "a ring"}, {"id": "a", "prompt": "a star"}]},
         "prompts.positive: the id 'a' occurs more than once; give each prompt its own id."),
        ({"positive": [{"id": 7, "prompt": "a ring"}]}, f"prompts.positive: {NAMES}, got 7; rename it."),
        ({"positive": {"a": ""}}, "prompts.positive.a: expected a text, got ''; write one or remove it."),
        ({"positive": {"a": ["a ring", 7]}}, "prompts.positive.a: expected a text, got 7; write one or remove it."),
        ({"positive": {"a": []}}, "prompts.positive.a: expected a text, got []; write one or remove it."),
        ({"positive": {"a": "\0"}}, "prompts.positive.a: expected a text, got '\\x00'; write one or remove it."),
        ({"positive": {"a b": "a ring"}}, f"prompts.positive: {NAMES}, got 'a b'; rename it."),
        ({"positive": {"a b": ""}}, f"prompts.positive: {NAMES}, got 'a b'; rename it."),
        ({"positive": {7: "a ring"}}, f"prompts.positive: {NAMES}, got 7; rename it."),
        ({"positive": {"a\n": "a ring"}}, f"prompts.positive: {NAMES}, got 'a\\n'; rename it."),
        ({"positive": {"a": "a ring"}, "negative": [" "]},
         "prompts.negative: expected a text, got ' '; write one or remove it."),
        ({"positive": {"a": "a ring"}, "negative": ""},
         "prompts.negative: expected a text, got ''; write one or remove it."),
        ({"positive": {"a": "a ring"}, "neutral": []},
         "prompts: unknown setting 'neutral'; expected positive, negative. See das-ag run --cfg job."),
        ({}, "prompts: missing setting 'positive'; expected positive, negative. See das-ag run --cfg job."),
        ({"path": "a.csv", "positive": {"a": "a ring"}},
         "prompts: unknown setting 'positive'; expected path, negative. See das-ag run --cfg job."),
    ],
)  # fmt: skip
def test_wrong_configuration_is_told(values, message):
    with pytest.raises(UserError) as error:
        prompts_of({"negative": [], **values})
    assert str(error.value) == message


def test_prompts_can_be_listed_with_their_ids():
    """A command line would read 007 and 1e5 as numbers, were they names."""
    listed = [{"id": "007", "prompt": "a ring"}, {"id": "1e5", "prompt": ["a heart", "red"]}]
    found = [(prompt.id, prompt.positive) for prompt in prompts_of({"positive": listed, "negative": []})]
    assert found == [("007", ("a ring",)), ("1e5", ("a heart", "red"))]


@pytest.mark.parametrize("values", [{"positive": {"a": "a ring"}}, {"path": "prompts.csv"}])
def test_negative_may_not_be_missing(values):
    with pytest.raises(
        UserError, match=r"^prompts: missing setting 'negative'; expected (positive|path), negative\. See "
    ):
        prompts_of(values)


@pytest.mark.parametrize("values", [None, 3, "path", ["path", "negative"]])
def test_a_group_is_expected(values):
    with pytest.raises(UserError, match=r"^prompts: expected a group of settings, got "):
        prompts_of(values)


@pytest.mark.parametrize(
    ("name", "fits"),
    [("a", True), ("7", True), ("A.b_c-d", True), ("a" * 64, True), ("a" * 65, False), ("", False), (".a", False),
     ("-a", False), ("a/b", False), ("a b", False), ("é", False), ("a\n", False)],
)  # fmt: skip
def test_short_names(name, fits):
    assert bool(NAME.fullmatch(name)) is fits


# ---- the file


@pytest.mark.parametrize("name", ["prompts.csv", "prompts.CSV", "my.prompts.csv"])
def test_csv_with_all_columns(read, name):
    content = 'seed,id,negative,prompt\n7,heart,a cross,a red heart\n,ring,,"a ring, blue"\n'
    assert read(content, name, negative=["a star", "a square"]) == (
        Prompt("heart", ("a red heart",), ("a cross",), 7, f"{name}, line 2", f"{name}, line 2, negative"),
        Prompt("ring", ("a ring, blue",), ("a star", "a square"), None, f"{name}, line 3", "prompts.negative"),
    )


@pytest.mark.parametrize("name", ["prompts.jsonl", "prompts.Jsonl"])
def test_jsonl_with_all_names(read, name):
    content = objects(
        {"id": "heart", "prompt": " a red heart", "negative": "a cross", "seed": 2**63 - 1},
        {"prompt": ["a blue ring", "a ring "], "negative": ["a", "b"], "id": "ring", "seed": 0},
        {"prompt": "a star", "id": "star", "negative": None, "seed": None},
        {"prompt": "a star", "id": "only", "negative": []},
    )
    assert read(content, name, negative=["ugly"]) == (
        Prompt("heart", ("a red heart",), ("a cross",), 2**63 - 1, f"{name}, line 1", f"{name}, line 1, negative"),
        Prompt("ring", ("a blue ring", "a ring"), ("a", "b"), 0, f"{name}, line 2", f"{name}, line 2, negative"),
        Prompt("star", ("a star",), ("ugly",), None, f"{name}, line 3", "prompts.negative"),
        Prompt("only", ("a star",), (), None, f"{name}, line 4", f"{name}, line 4, negative"),
    )


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.TXT"])
def test_plain_text_is_a_prompt_a_line(read, name):
    prompts = read('a red heart, "big"\n  1;2 {rings}\u2028# here \n', name, negative=["ugly"])
    assert texts(prompts) == [('a red heart, "big"',), ("1;2 {rings}\u2028# here",)]
    assert [(prompt.negative, prompt.seed, prompt.where, prompt.where_negative) for prompt in prompts] == [
        (("ugly",), None, f"{name}, line 1", "prompts.negative"),
        (("ugly",), None, f"{name}, line 2", "prompts.negative"),
    ]


CONTENTS = {
    "prompts.csv": "prompt,id\na red heart,heart\na blue ring,ring\n",
    "prompts.jsonl": '{"prompt": "a red heart", "id": "heart"}\n{"prompt": "a blue ring", "id": "ring"}\n',
    "prompts.txt": "a red heart\na blue ring\n",
}


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
        lambda text: text.removesuffix("\n").encode(),
    ],
    ids=["Windows", "old Mac", "BOM", "Windows with BOM", "no newline at the end"],
)
@pytest.mark.parametrize("name", CONTENTS)
def test_whatever_system_wrote_it(read, name, written):
    text = CONTENTS[name]
    expected = read(text, name)
    assert texts(expected) == [("a red heart",), ("a blue ring",)]
    assert written(text) != text.encode()
    assert read(written(text), name) == expected


@pytest.mark.parametrize(
    "content",
    [
        "id;prompt;seed\na;a ring, red;42\nb;a star;7\n",
        "id\tprompt\tseed\na\ta ring, red\t42\nb\ta star\t7\n",
        'sep=;\nid;prompt;seed\na;"a ring, red";42\nb;a star;7\n',
        '"sep=,",,\nid,prompt,seed\na,"a ring, red",42\nb,a star,7\n',
        'id,prompt,seed,,\na,"a ring, red",42,,\nb,a star,7,,\n,,,,\n,,,,\n',
        'id,prompt,seed\na,"a ring, red",42,,\nb,a star,7,\n',
        'id,prompt,seed\na,"a ring, red",42.0\nb,a star,7.00\n',
        "id;prompt;seed\na;a ring, red;42,0\nb;a star;7,0\n",
        'Id,PROMPT,Seed\na,"a ring, red",42\nb,a star,7\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_as_spreadsheets_write_it(read, content, encoding, end):
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    prompts = read(mark + content.replace("\n", end).encode(encoding))
    assert [(p.id, p.positive, p.seed) for p in prompts] == [("a", ("a ring, red",), 42), ("b", ("a star",), 7)]


def test_a_whole_number_in_json_may_have_a_point(read):
    (prompt,) = read('{"prompt": "a ring", "seed": 42.0}\n', "prompts.jsonl")
    assert prompt.seed == 42


def test_csv_quotes_commas_and_blanks(read):
    content = (
        'id , prompt,negative\nquotes, "a ""red"" heart, big",  \n'
        '  commas  ,"a, b, c", "x, y"\nmiddle, 5" ring ,it\'s\n'
    )
    assert [(p.id, p.positive, p.negative) for p in read(content, negative=["ugly"])] == [
        ("quotes", ('a "red" heart, big',), ("ugly",)),
        ("commas", ("a, b, c",), ("x, y",)),
        ("middle", ('5" ring',), ("it's",)),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_cell_over_several_lines(read, told, end):
    content = end.join(["prompt,seed", '"a red', "", 'heart",1', "a ring,2", '"a', 'star",x', ""])
    prompts = read(content.replace("x", "3"))
    assert [(p.positive, p.where) for p in prompts] == [
        (("a red\n\nheart",), "prompts.csv, line 2"),
        (("a ring",), "prompts.csv, line 5"),
        (("a\nstar",), "prompts.csv, line 6"),
    ]
    assert told(content).startswith("prompts.csv, line 6: expected a whole number from 0 to 2**63 - 1 as seed, got 'x'")


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "prompts.txt").write_text("a red heart\n")
    (prompt,) = prompts_of({"path": "~/prompts.txt", "negative": []})
    assert (prompt.positive, prompt.where) == (("a red heart",), "~/prompts.txt, line 1")


@pytest.mark.parametrize("cell", ["0", "007", str(2**63 - 1)])
def test_seeds_of_a_csv(read, cell):
    assert read(f"prompt,seed\na ring,{cell}\n")[0].seed == int(cell)


def test_seed_may_differ_for_the_same_prompt(read):
    prompts = read("id,prompt,seed\nring,a ring,1\nring,a ring,2\nring,a ring,\n,a star,1\n,a star,2\n")
    assert [(p.id.split("-")[0], p.seed) for p in prompts] == [
        ("ring", 1), ("ring", 2), ("ring", None), ("a", 1), ("a", 2)
    ]  # fmt: skip
    assert prompts[3].id == prompts[4].id


# ---- ids made from the text


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("A Red Heart, on 2 rings!", "a-red-heart-on-2-rings"),
        ("a" * 40, "a" * 40),
        ("a" * 41, "a" * 40),
        ("a" * 80 + " ring", "a" * 40),
        ("a ring " + "b" * 60, "a-ring"),
        ("a" * 20 + " " + "b" * 19 + " c", "a" * 20 + "-" + "b" * 19),  # forty just there
        ("a" * 20 + " " + "b" * 20 + " c", "a" * 20),
        ("赤いハート", "prompt"),
        ("東京 2020", "prompt"),
        ("… !", "prompt"),
        ("un café noir", "un-caf-noir"),
    ],
)
def test_id_is_a_slug_and_a_hash(read, text, slug):
    (prompt,) = read(text, "prompts.txt")
    assert prompt.id == f"{slug}-{hashlib.sha256(json.dumps([[text], []]).encode()).hexdigest()[:12]}"
    assert NAME.fullmatch(prompt.id)


def test_id_is_as_it_always_was(read):
    """Finished samples are found by their key, which holds the id."""
    assert ids(read("a red heart\n", "prompts.txt", negative=["ugly"])) == ["a-red-heart-252309cd2ba8"]


def test_id_tells_all_texts_apart(read):
    content = objects(
        {"prompt": "a ring"},
        {"prompt": ["a", "ring"]},
        {"prompt": "a ring!"},
        {"prompt": "a ring", "negative": "ugly"},
        {"prompt": "a ring", "negative": ["ug", "ly"]},
        {"prompt": ["a ring", "ugly"]},
    )
    assert len(set(ids(read(content, "prompts.jsonl")))) == 6


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.csv"])
def test_a_line_inserted_renames_no_other(read, name):
    head = ["prompt"] if name.endswith("csv") else []
    before = read("\n".join([*head, "a ring", "赤", "a star"]), name)
    after = read("\n".join([*head, "a cross", "a ring", "青", "赤", "a star"]), name)
    assert [ids(after)[place] for place in (1, 3, 4)] == ids(before)
    assert len(set(ids(after))) == 5


def test_id_is_the_same_in_every_kind_of_file(read):
    found = [ids(read(CONTENTS["prompts.txt"], "prompts.txt"))]
    found.append(ids(read("prompt\na red heart\n a blue ring\n")))
    found.append(ids(read(objects({"prompt": "a red heart"}, {"prompt": ["a blue ring"]}), "prompts.jsonl")))
    assert found[0] == found[1] == found[2]


def test_own_negative_counts_as_the_shared_one(read):
    own = read("prompt,negative\na ring,ugly\n")
    assert ids(own) == ids(read("a ring\n", "prompts.txt", negative=["ugly"]))
    assert ids(own) != ids(read("a ring\n", "prompts.txt"))


def test_a_hundred_thousand_lines(read):
    lines = (f'"a red heart, the {n}th",{n if n % 2 else ""}\n' for n in range(100_000))
    prompts = read("prompt,seed\n" + "".join(lines))
    assert len(prompts) == len(set(ids(prompts))) == 100_000
    assert prompts[-1].positive == ("a red heart, the 99999th",)
    assert (prompts[-1].seed, prompts[-1].where) == (99_999, "prompts.csv, line 100001")


# ---- what is wrong with a file

ROW = "expected a CSV row, got"
CLOSE = "close its quotes, and write each quote inside a text twice."
SEED = "expected a whole number from 0 to 2**63 - 1 as seed"
COLUMNS = "expected the column prompt, and optionally id, negative, seed, each once"
IN_THE_FIRST = "name the columns in the first line, separated by commas."
TEXT = "write one or remove it."
NONE = "expected a prompt, got none; write one or remove the line."
OBJECT = "expected a JSON object, got"
AGAIN = "expected each prompt and seed once; remove the repeats or change their seeds."
OTHER = "different prompts have the same id; give each prompt its own id."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "prompts.csv: expected at least one prompt, got none; write one."),
        ("\ufeff", "prompts.csv: expected at least one prompt, got none; write one."),
        ("prompt\n", "prompts.csv: expected at least one prompt, got none; write one."),
        ("\na ring\n", f"prompts.csv, line 1: {COLUMNS}, got none; {IN_THE_FIRST}"),
        ("a ring\na star\n", f"prompts.csv, line 1: {COLUMNS}, got 'a ring'; {IN_THE_FIRST}"),
        ("prompt,colour\na,b\n", f"prompts.csv, line 1: {COLUMNS}, got 'prompt', 'colour'; {IN_THE_FIRST}"),
        (",prompt\n,a\n", f"prompts.csv, line 1: {COLUMNS}, got '', 'prompt'; {IN_THE_FIRST}"),
        ("prompt|seed\na|1\n", f"prompts.csv, line 1: {COLUMNS}, got 'prompt|seed'; {IN_THE_FIRST}"),
        ("sep=;\nprompt;colour\na;b\n", f"prompts.csv, line 2: {COLUMNS}, got 'prompt', 'colour'; {IN_THE_FIRST}"),
        ("sep=;\nprompt;seed\na;1\nb;x\n", f"prompts.csv, line 4: {SEED}, got 'x'; change it."),
        ("prompt,prompt\na,b\n", f"prompts.csv, line 1: {COLUMNS}, got 'prompt', 'prompt'; {IN_THE_FIRST}"),
        ("id,seed\na,1\n", f"prompts.csv, line 1: {COLUMNS}, got 'id', 'seed'; {IN_THE_FIRST}"),
        ("prompt,seed\na,1\na, b,2\n",
         "prompts.csv, line 3: expected 2 cells (prompt, seed), got 3; put a text with commas in quotes, and write the "
         "comma of an empty cell."),
        ("prompt,seed\na\n",
         "prompts.csv, line 2: expected 2 cells (prompt, seed), got 1; put a text with commas in quotes, and write the "
         "comma of an empty cell."),
        ('prompt\na\n"b\n\nc\n', f"prompts.csv, line 3: {ROW} “unexpected end of data”; {CLOSE}"),
        ('prompt\na\n"b" c\n', f"prompts.csv, line 3: {ROW} “',' expected after '\"'”; {CLOSE}"),
        ('prompt\n"' + "a\n" * 99_999, f"prompts.csv, line 2: {ROW} “field larger than field limit (131072)”; {CLOSE}"),
        ("id,prompt\na,b\na b,c\n", f"prompts.csv, line 3: {NAMES}, got 'a b'; rename it."),
        (f"id,prompt\n{'a' * 65},c\n", f"prompts.csv, line 2: {NAMES}, got '{'a' * 65}'; rename it."),
        ("prompt\na\0b\n", f"prompts.csv, line 2: expected a text, got 'a\\x00b'; {TEXT}"),
        *[
            (f"prompt,seed\na,1\nb,{seed}\n", f"prompts.csv, line 3: {SEED}, got '{seed}'; change it.")
            for seed in ("-1", "+1", "1.5", "1.000", "1e3", "1E+15", "1_0", "one", "٣", "0x1", "1 2", "9" * 5000)
        ],
        (f"prompt,seed\na,{2**63}\n", f"prompts.csv, line 2: {SEED}, got {2**63}; change it."),
        ("prompt\na\n\nb\n  \n", f"prompts.csv, lines 3, 5: {NONE}"),
        ("prompt\na\n\n", f"prompts.csv, line 3: {NONE}"),
        ("prompt,seed\n,1\na,\n , \n\"\n\",2\n,\n", f"prompts.csv, lines 2, 4, 5: {NONE}"),
        ("prompt\n" + "a\n\n" * 10, f"prompts.csv, lines 3, 5, 7, 9, 11, 13, 15, 17, 19, 21: {NONE}"),
        ("prompt\n" + "a\n\n" * 1011, f"prompts.csv, lines 3, 5, 7, 9, 11, 13, 15, 17, 19, 21 and 1001 more: {NONE}"),
        ("id,prompt\nx,a\ny,b\nx,a\nz,c\ny,b\nx,a\n", f"prompts.csv, lines 2, 3, 4, 6, 7: {AGAIN}"),
        ("id,prompt,seed\nx,a,1\nx,a,2\nx,a,\nx,a,02\n", f"prompts.csv, lines 3, 5: {AGAIN}"),
        ("id,prompt,seed\nx,a,1\ny,a,1\nx,a,\nx,a,\n", f"prompts.csv, lines 4, 5: {AGAIN}"),
        ("prompt\n" + "a\n" * 13, f"prompts.csv, lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more: {AGAIN}"),
        ('prompt\n"a\nb"\nc\n"a\nb"\n', f"prompts.csv, lines 2, 5: {AGAIN}"),
        ("id,prompt,seed\nx,a,1\ny,b,1\nx,c,2\n", f"prompts.csv, lines 2, 4: {OTHER}"),
        ("id,prompt,seed\nx,a,\nx,a,\nx,c,\ny,c,\ny,c,\n", f"prompts.csv, lines 2, 3, 4: {OTHER}"),
        ("id,prompt,negative,seed\nx,a,,1\nx,a,b,2\n", f"prompts.csv, lines 2, 3: {OTHER}"),
    ],
)  # fmt: skip
def test_wrong_csv_is_told_with_its_lines(told, content, message):
    assert told(content) == message
    assert is_a_sentence(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "prompts.jsonl: expected at least one prompt, got none; write one."),
        ('{"prompt": "a"}\n{prompt: "b"}\n',
         f"prompts.jsonl, line 2: {OBJECT} “Expecting property name enclosed in double quotes”; correct the line."),
        ('{"prompt": "a"\n}\n', f"prompts.jsonl, line 1: {OBJECT} “Expecting ',' delimiter”; correct the line."),
        ('{"prompt": "a"} {"prompt": "b"}', f"prompts.jsonl, line 1: {OBJECT} “Extra data”; correct the line."),
        ('\n"a ring"\n', f"prompts.jsonl, line 2: {OBJECT} 'a ring'; write {{\"prompt\": \"a red circle\"}}."),
        ('["a ring"]', f"prompts.jsonl, line 1: {OBJECT} ['a ring']; write {{\"prompt\": \"a red circle\"}}."),
        ('{"prompt": "a", "text": "b", "Seed": 1}',
         "prompts.jsonl, line 1: unknown field 'text', 'Seed'; use only id, prompt, negative, seed."),
        ('{"prompt": 7}', f"prompts.jsonl, line 1: expected a text, got 7; {TEXT}"),
        ('{"prompt": false}', f"prompts.jsonl, line 1: expected a text, got False; {TEXT}"),
        ('{"prompt": {"a": "b"}}', f"prompts.jsonl, line 1: expected a text, got {{'a': 'b'}}; {TEXT}"),
        ('{"prompt": ["a", " "]}', f"prompts.jsonl, line 1: expected a text, got ' '; {TEXT}"),
        ('{"prompt": "a\\ud83d"}', f"prompts.jsonl, line 1: expected a text, got 'a\\ud83d'; {TEXT}"),
        ('{"prompt": "a", "negative": 7}', f"prompts.jsonl, line 1, negative: expected a text, got 7; {TEXT}"),
        ('{"prompt": "a", "negative": ""}', f"prompts.jsonl, line 1, negative: expected a text, got ''; {TEXT}"),
        ('{"prompt": "a", "id": 7}', f"prompts.jsonl, line 1: {NAMES}, got 7; rename it."),
        ('{"prompt": "a", "id": ""}', f"prompts.jsonl, line 1: {NAMES}, got ''; rename it."),
        ('{"prompt": "a", "seed": "7"}', f"prompts.jsonl, line 1: {SEED}, got '7'; change it."),
        ('{"prompt": "a", "seed": 7.5}', f"prompts.jsonl, line 1: {SEED}, got 7.5; change it."),
        ('{"prompt": "a", "seed": true}', f"prompts.jsonl, line 1: {SEED}, got True; change it."),
        ('{"prompt": "a", "seed": -1}', f"prompts.jsonl, line 1: {SEED}, got -1; change it."),
        (f'{{"prompt": "a", "seed": {2**63}}}', f"prompts.jsonl, line 1: {SEED}, got {2**63}; change it."),
        ('\n{"prompt": ""}\n{"prompt": "a"}\n{}\n{"prompt": null}\n{"prompt": []}\n \n{"prompt": " "}\n',
         f"prompts.jsonl, lines 1, 2, 4, 5, 6, 7, 8: {NONE}"),
        ('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": ["a "]}\n', f"prompts.jsonl, lines 1, 3: {AGAIN}"),
        ('{"prompt": "a", "id": "x", "seed": 1}\n{"prompt": "b", "id": "x", "seed": 2}\n',
         f"prompts.jsonl, lines 1, 2: {OTHER}"),
    ],
)  # fmt: skip
def test_wrong_jsonl_is_told_with_its_lines(told, content, message):
    assert told(content, "prompts.jsonl") == message
    assert is_a_sentence(message)


@pytest.mark.parametrize("line", ["[" * 100_000, '{"prompt": "a", "seed": ' + "9" * 5000 + "}"])
def test_json_that_python_will_not_read_is_told(told, line):
    message = told('{"prompt": "a"}\n' + line, "prompts.jsonl")
    assert message.startswith(f"prompts.jsonl, line 2: {OBJECT} “")
    assert message.endswith("”; correct the line.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "prompts.txt: expected at least one prompt, got none; write one."),
        ("a\n\nb\n\n", f"prompts.txt, lines 2, 4: {NONE}"),
        ("a\r\n\r\nb\r\n \t\r\n", f"prompts.txt, lines 2, 4: {NONE}"),
        ("\n", f"prompts.txt, line 1: {NONE}"),
        ("a\nb\na \nc\nb\n", f"prompts.txt, lines 1, 2, 3, 5: {AGAIN}"),
    ],
)
def test_wrong_plain_text_is_told_with_its_lines(told, content, message):
    assert told(content, "prompts.txt") == message
    assert is_a_sentence(message)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_another_encoding_is_told_with_its_line(told, bom, end):
    content = bom + end.join(["é".encode(), b"a ring", "é".encode("latin-1"), b""])
    assert told(content, "prompts.txt") == (
        "prompts.txt, line 3: expected UTF-8, got the byte 0xe9; save the file as UTF-8."
    )


def test_a_broken_utf_16_is_told_with_its_line(told):
    message = "prompts.txt, line 2: expected UTF-16-LE, got the byte 0x72; save the file as UTF-8."
    assert told(b"\xff\xfe" + "a\n".encode("utf-16-le") + b"r", "prompts.txt") == message


@pytest.mark.parametrize("path", ["prompts.tsv", "prompts", "", "prompts.csv.gz", ".csv", None, 7, ["a.csv"]])
def test_another_kind_of_file_is_told(path):
    with pytest.raises(UserError) as error:
        prompts_of({"path": path, "negative": []})
    assert str(error.value) == (
        f"prompts.path: expected a file that ends in .csv or .jsonl or .txt, got {path!r}; choose another file."
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none.csv", "No such file or directory"),
        ("folder.csv", "Is a directory"),
        ("\0.csv", "embedded null byte"),
        ("~nobody_of_that_name/a.csv", "Could not determine home directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    with pytest.raises(UserError) as error:
        prompts_of({"path": path, "negative": []})
    message = str(error.value)
    assert message.startswith(f"prompts.path: cannot read {path!r} ({reason}")
    assert message.endswith("); correct the path.")


def test_shared_negative_is_checked_too(read):
    with pytest.raises(UserError, match=r"^prompts\.negative: expected a text, got ' '; "):
        read("a ring\n", "prompts.txt", negative=[" "])


def test_the_choice_file_asks_for_a_path(compose, conf_folder):
    config = compose("prompts=file", "prompts.path=some.csv")
    assert dict(config.prompts) == {"path": "some.csv", "negative": []}
    assert (conf_folder / "prompts/file.yaml").read_text().startswith("# das-ag run prompts=file prompts.path=")
