"""The page of images: its files, its texts, and what a browser does with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from das_ag.errors import UserError
from das_ag.report import score_table
from das_ag.report.gallery import write_gallery
from das_ag.report.gallery.layout import Layout
from das_ag.store.store import Store

ROOT = Path(__file__).parents[2]
METHODS = ("das", "das_ag", "das_rag")
EVIL = "</script><script>alert(1)</script> \"quoted\" & 'so' <!-- ${x} {{program}} é 心"


def gallery(store, table="", scores=None):
    """The page, written without complaints."""
    scores = score_table(store.records()[0], "tiny") if scores is None else scores
    assert write_gallery(store.root, scores, "Tiny judge", table) == []
    return store.root / "index.html"


def content_of(page):
    (text,) = re.findall(r'<script type="application/json" id="content">(.*)</script>', page.read_text("utf-8"))
    return json.loads(text)


def noise(seed, side=340):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture
def store(tmp_path, sample_of, put):
    store = Store(tmp_path / "made_up")
    for place, method in enumerate(METHODS):
        for seed in (1, 2):
            put(store, sample_of(method=method, seed=seed), 4.0 + place + seed / 10, image=noise(3 * seed + place))
    return store


def test_the_page_shows_every_sample(store):
    page = gallery(store)
    assert page == store.root / "index.html"
    content = content_of(page)
    assert [(s["method"], s["seed"], s["numbers"]["aesthetic_score"]) for s in content["samples"]] == [
        (method, str(seed), 4.0 + place + seed / 10) for place, method in enumerate(METHODS) for seed in (1, 2)
    ]
    for sample in content["samples"]:
        assert (store.root / sample["image"]).is_file()
        with Image.open(store.root / sample["thumbnail"]) as thumbnail:
            assert max(thumbnail.size) == 320
        assert sample["trace"] == {"loss": [1.5]}
    assert content["settings"][content["samples"][0]["settings"]]["ascent"] == {"steps": 200}


def test_methods_come_in_their_order_with_their_colours(store, sample_of, put):
    for method in ("mine", "das_ag_half"):
        put(store, sample_of(method=method, seed=1), 5.0, image=noise(1))
    content = content_of(gallery(store))
    assert content["methods"] == [
        {"id": "das", "name": "DAS", "colour": "light-dark(#0072B2, #56B4E9)"},
        {"id": "das_ag", "name": "DAS-AG", "colour": "light-dark(#D98C00, #F0B13C)"},
        {"id": "das_rag", "name": "DAS-rAG", "colour": "light-dark(#4A4A4A, #B9B9B9)"},
        {"id": "das_ag_half", "name": "das_ag_half", "colour": "light-dark(#B0578A, #D98BB8)"},
        {"id": "mine", "name": "mine", "colour": "light-dark(#007A59, #3DC79B)"},
    ]
    assert [s["method"] for s in content["samples"]][-2:] == ["das_ag_half", "mine"]


def test_nothing_is_asked_of_a_network(store):
    text = gallery(store).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"https?:|//cdn|@import|fetch\(|XMLHttpRequest|url\(", text)


def test_the_same_store_gives_the_same_bytes(store, tmp_path):
    page = gallery(store)
    copied = Store(tmp_path / "elsewhere" / "made_up")
    shutil.copytree(store.root / "samples", copied.root / "samples")
    again = gallery(copied)
    assert again.read_bytes() == page.read_bytes()
    thumbnails = sorted((store.root / "gallery").iterdir())
    assert len(thumbnails) == 6
    for path in thumbnails:
        assert (copied.root / "gallery" / path.name).read_bytes() == path.read_bytes()


def test_the_table_of_the_report_is_shown(store):
    table = "Beware.\n\n| method | mean ↑ |\n| ------ | -----: |\n| DAS \\| |  4.150 |\n\nA caption.\n\n## By prompt\n"
    assert content_of(gallery(store, table))["results"] == [
        {"kind": "text", "text": "Beware."},
        {"kind": "table", "heads": ["method", "mean ↑"], "numbers": [False, True], "rows": [["DAS |", "4.150"]]},
        {"kind": "text", "text": "A caption."},
        {"kind": "heading", "text": "By prompt"},
    ]


def test_no_text_ends_the_script(store, sample_of, put):
    put(store, sample_of("evil", positive=(EVIL,), negative=("<b>",)), 5.0)
    page = gallery(store)
    text = page.read_text("utf-8")
    assert len(re.findall("</script>", text)) == 2
    assert "<script>alert" not in text
    (sample,) = [s for s in content_of(page)["samples"] if s["prompt_id"] == "evil"]
    assert sample["prompt"] == [EVIL]


def test_a_thumbnail_is_made_once_for_an_image(store, sample_of, put):
    gallery(store)
    old = {path.name for path in (store.root / "gallery").glob("*.jpg")}
    for name in old:
        os.utime(store.root / "gallery" / name, (1, 1))
    shutil.rmtree(store.root / sample_of(seed=1).folder)
    put(store, sample_of(seed=1), 4.1, image=noise(9))
    gallery(store)
    paths = list((store.root / "gallery").glob("*.jpg"))
    (renewed,) = [path for path in paths if path.stat().st_mtime > 1]
    assert renewed.name not in old
    assert len(paths) == 6
    with Image.open(renewed) as thumbnail:  # a damaged sample's old thumbnail would be another picture
        expected = Image.fromarray(noise(9)).resize((320, 320), Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(thumbnail, float) - np.asarray(expected, float)).mean() < 10


def test_a_small_image_is_its_own_thumbnail(tmp_path, sample_of, put):
    store = Store(tmp_path / "one")
    put(store, sample_of(), 6.25)
    (sample,) = content_of(gallery(store))["samples"]
    assert sample["thumbnail"] == sample["image"] == f"{sample_of().folder}/image.png"
    assert sample["size"] == [7, 5]
    assert not (store.root / "gallery").exists()


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "another"])
def test_a_damaged_image_is_left_out_and_named(store, sample_of, damage, caplog):
    gallery(store)
    path = store.root / sample_of(seed=1).folder / "image.png"
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        other = store.root / sample_of(seed=2).folder / "image.png"
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "another": other.read_bytes()}[damage])
    scores = score_table(store.records()[0], "tiny")
    (told,) = write_gallery(store.root, scores, "Tiny judge", "")
    assert path.parent.name in told
    assert "delete" in told
    assert caplog.text == ""
    content = content_of(store.root / "index.html")
    assert len(content["samples"]) == 5
    assert content["left_out"] == [told.replace(f"{store.root}/", "")]
    assert len(list((store.root / "gallery").iterdir())) == 5


def test_a_sample_that_is_gone_is_left_out_and_named(store, sample_of):
    scores = score_table(store.records()[0], "tiny")
    shutil.rmtree(store.root / sample_of(seed=1).folder)
    (told,) = write_gallery(store.root, scores, "Tiny judge", "")
    assert str(sample_of(seed=1).folder) in told
    content = content_of(store.root / "index.html")
    assert len(content["samples"]) == 5
    assert content["left_out"] == [told]


def test_a_damaged_trace_costs_its_curves_alone(store, sample_of):
    (store.root / sample_of(seed=1).folder / "trace.csv").write_bytes(b"")
    (told,) = write_gallery(store.root, score_table(store.records()[0], "tiny"), "Tiny judge", "")
    assert "cannot read the trace" in told
    content = content_of(store.root / "index.html")
    assert [sample["trace"] for sample in content["samples"]].count({}) == 1
    assert "cannot read the trace" in content["left_out"][0]


def test_without_scores_the_images_are_shown(tmp_path, sample_of, put):
    store = Store(tmp_path / "unscored")
    put(store, sample_of())
    content = content_of(gallery(store))
    assert content["samples"][0]["numbers"] == {"guide_aesthetic_score": 5.5, "clip_positive": 0.25}
    assert content["results"] == []


def test_later_columns_are_shown(store):
    scores = score_table(store.records()[0], "tiny")
    scores = scores.assign(score_other=3.0, blur=0.5, remark="fine", flag=True)
    names = dict(content_of(gallery(store, scores=scores))["numbers"])
    assert list(names) == ["aesthetic_score", "guide_aesthetic_score", "clip_positive", "score_other", "blur"]


def test_no_images_are_told(tmp_path):
    store = Store(tmp_path / "empty")
    store.prepare()
    with pytest.raises(UserError, match=r"empty: expected images, got none; run das-ag run name=empty first"):
        gallery(store)
    assert not (store.root / "index.html").exists()


def test_a_file_in_the_way_is_told(store):
    (store.root / "gallery").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write the gallery \((File exists|Not a directory)\)"):
        gallery(store)


def test_the_script_writes_pages_and_names_each_damaged_sample_once(store, sample_of):
    command = [sys.executable, ROOT / "scripts" / "make_gallery.py", store.root]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{store.root / 'index.html'}\n", "")
    assert len(content_of(store.root / "index.html")["samples"]) == 6
    damaged = [sample_of(seed=seed).folder for seed in (1, 2)]
    (store.root / damaged[0] / "sample.json").write_text("{")
    (store.root / damaged[1] / "image.png").write_bytes(b"")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [done.stderr.count(folder.name) for folder in damaged] == [1, 1]
    command[-1] = store.root / "nowhere"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")


# ---- In a browser


@pytest.fixture
def visit(browser):
    """Opens a page from the disk; what it complains of, and whatever it asks of a network, fails the test."""
    complaints, contexts = [], []

    def visit(path, fragment="", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url))
        page.on("requestfailed", lambda r: complaints.append(r.url))
        page.goto(path.as_uri() + fragment)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def real_store(tmp_path_factory, plan_of, tiny, put):
    """Samples with settings as run.py makes them; the pictures are made up."""
    store = Store(tmp_path_factory.mktemp("outputs") / "real")
    for place, method in enumerate(METHODS):
        plan = plan_of(*tiny, f"method={method}", "seeds=[1,2]", "prompts=shapes")
        for n, sample in enumerate(plan.samples):
            put(store, sample, 4.0 + place + n / 10, image=noise(n))
    gallery(store, wide_table())
    return store


def visible_keys(page):
    return page.eval_on_selector_all(".card", "cards => cards.filter(c => c.checkVisibility()).map(c => c.dataset.key)")


def shown_scores(page):
    return [float(text) for text in page.locator("#grid .card:not([hidden]) .score").all_text_contents()]


def test_methods_stand_side_by_side(real_store, visit):
    page = visit(real_store.root / "index.html")
    assert page.locator(".heads .head b").all_inner_texts() == ["DAS", "DAS-AG", "DAS-rAG"]
    assert page.locator(".row").count() == 12
    assert page.locator(".row").first.locator(".cell .card").count() == 3
    assert "guided none of the images (n = 36)" in page.locator("#evaluator").text_content()
    assert page.locator("#results tbody tr").count() == 3
    assert (
        page.locator(".card").first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)")
        == 320
    )


def weighed(folder, plan_of, tiny, put, *made):
    """A store of these (method, aesthetic weight, scores), a seed for each score."""
    store = Store(folder)
    for method, end, scores in made:
        seeds = ",".join(str(1 + n) for n in range(len(scores)))
        plan = plan_of(*tiny, "prompts=own", "prompts.positive={a: a ring}", f"seeds=[{seeds}]", f"method={method}",
                       f"objective.aesthetic.end={end}")  # fmt: skip
        for sample, score in zip(plan.samples, scores, strict=True):
            put(store, sample, score, image=noise(end))
    return store


def head_texts(page):
    return [text.split("\n") for text in page.locator(".head:visible").all_inner_texts()]


def test_a_sweep_shows_each_setting_in_a_section_with_its_own_means(tmp_path, sample_of, put, visit):
    store = Store(tmp_path / "several")
    for steps, score in ((100, 7.0), (20, 5.0)):
        for method, more in (("das", 0), ("das_ag", 1)):
            put(store, sample_of(method=method, steps=steps), score + more, image=noise(steps))
    page = visit(gallery(store))
    assert page.locator(".which").all_inner_texts() == ["steps 20", "steps 100"]
    assert head_texts(page) == [
        ["DAS", "mean 5.00, n = 1"], ["DAS-AG", "mean 6.00, n = 1"],
        ["DAS", "mean 7.00, n = 1"], ["DAS-AG", "mean 8.00, n = 1"],
    ]  # fmt: skip
    first = page.locator("section.section", has_text="steps 20")
    assert first.locator(".score").all_inner_texts() == ["5.00", "6.00"]
    page.locator("label", has_text="Grid").click()
    assert page.locator(".card .label:visible").all_inner_texts() == ["steps 20", "steps 20", "steps 100", "steps 100"]
    page.locator(".card").first.click()
    assert page.locator("#siblings button").all_inner_texts() == [
        "DAS, steps 20: 5.00", "DAS-AG, steps 20: 6.00", "DAS, steps 100: 7.00", "DAS-AG, steps 100: 8.00"
    ]  # fmt: skip


def test_each_weight_has_a_column_beside_the_one_picture_of_das(tmp_path, plan_of, tiny, put, visit):
    made = (("das", 1, (5.0, 7.0)), ("das_ag", 10, (8.0, 9.0)), ("das_ag", 1, (5.0, 5.5)))
    page = visit(gallery(weighed(tmp_path / "weights", plan_of, tiny, put, *made)))
    assert page.locator(".which").all_inner_texts() == [""]
    assert head_texts(page) == [
        ["DAS", "mean 6.00, n = 2"],
        ["DAS-AG", "aesthetic weight 1", "mean 5.25, n = 2"],
        ["DAS-AG", "aesthetic weight 10", "mean 8.50, n = 2"],
    ]
    first = page.locator(".row").first
    assert first.locator(".score").all_inner_texts() == ["5.00", "5.00", "8.00"]
    pictures, names = (page.locator(where).all() for where in (".row:first-child .frame", ".head"))
    assert [box.bounding_box()["x"] for box in pictures] == [box.bounding_box()["x"] for box in names]
    page.click("#choose")
    page.fill("#search", "end=10")
    assert head_texts(page) == [["DAS"], ["DAS-AG", "aesthetic weight 1"],
                                ["DAS-AG", "aesthetic weight 10", "mean 8.50, n = 2"]]  # fmt: skip
    page.fill("#search", "aesthetic weight 10")
    assert len(visible_keys(page)) == 2


@pytest.mark.parametrize(("width", "beside"), [(1440, 4), (390, 3)])
def test_more_columns_than_fit_go_on_below_and_name_themselves(tmp_path, plan_of, tiny, put, visit, width, beside):
    made = [("das", 1, (5.0,)), *(("das_ag", end, (5.0,)) for end in range(1, 7))]
    page = visit(gallery(weighed(tmp_path / "weights", plan_of, tiny, put, *made)), viewport=at(width))
    frames = [box.bounding_box() for box in page.locator(".frame").all()]
    assert [box["y"] == frames[0]["y"] for box in frames] == [True] * beside + [False] * (7 - beside)
    assert page.locator(".column:visible").all_inner_texts()[:2] == ["DAS", "DAS-AG\naesthetic weight 1"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def at(width):
    return {"width": width, "height": {1440: 900, 390: 844}[width]}


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("sweep", ["", "weights", "steps"])
def test_pictures_come_first(tmp_path, plan_of, tiny, put, visit, width, sweep):
    store = Store(tmp_path / "a_store_with_a_name_of_some_length")
    changes = {"": [()], "weights": [(f"objective.aesthetic.end={end}",) for end in (1, 5)],
               "steps": [(f"steps={steps}",) for steps in (20, 100)]}[sweep]  # fmt: skip
    for method in METHODS:
        for change in changes:
            for sample in plan_of(*tiny, f"method={method}", "seeds=[1,2]", *change).samples:
                if not store.is_finished(sample):
                    put(store, sample, 5.0, image=noise(1))
    page = visit(gallery(store, wide_table()), viewport=at(width))
    first = page.locator(".card img").first.bounding_box()
    assert first["y"] < 300
    assert first["y"] + first["height"] < at(width)["height"]
    assert page.locator("#lead").is_visible()


def test_what_stands_below_the_pictures_is_folded_and_printed(store, visit):
    (store.root / "plots").mkdir()
    Image.fromarray(noise(1)).save(store.root / "plots" / "scores.png")
    page = visit(gallery(store, wide_table() + "\n## By prompt\n\n| prompt |\n| --- |\n| heart |\n"))
    folded = page.locator("#more details:visible")
    names = ["Results and statistics", "By prompt", "Plots", "About these images"]
    assert folded.locator("summary").all_inner_texts() == names
    assert page.locator("#more :is(table, p, img):visible").count() == 0
    last = page.locator(".card").last.bounding_box()
    assert folded.first.bounding_box()["y"] > last["y"] + last["height"]
    folded.first.locator("summary").press("Enter")
    assert folded.first.locator("table").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#more details:not([open]):visible").count() == 0
    assert page.locator("#plots img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 340
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#more details[open]").count() == 1


def test_the_first_line_leads_to_what_is_left_out(store, sample_of, visit):
    (store.root / sample_of(seed=1).folder / "image.png").write_bytes(b"")
    write_gallery(store.root, score_table(store.records()[0], "tiny"), "Tiny judge", "")
    page = visit(store.root / "index.html")
    page.click("#lead a")
    page.locator("#left-out li").wait_for()
    assert "the image is missing or damaged" in page.locator("#left-out li").inner_text()
    assert page.locator("#viewer").is_hidden()


def test_a_gallery_of_several_stores_links_their_images(store, tmp_path, sample_of, put, visit):
    other = Store(tmp_path / "deep" / "other one")
    for seed in (1, 3):
        put(other, sample_of(seed=seed), 8.0, image=noise(seed, 48))
    parts = [score_table(s.records()[0], "tiny").assign(experiment=name) for s, name in ((store, "b"), (other, "a"))]
    root = tmp_path / "both"
    stores = {"b": store.root, "a": other.root}
    assert write_gallery(root, pd.concat(parts, ignore_index=True), "Tiny judge", "", stores=stores) == []
    content = content_of(root / "index.html")
    assert content["sections"] == [""]
    assert content["samples"][0]["image"] == f"../made_up/{sample_of(seed=1).folder}/image.png"
    assert content["samples"][-1]["image"] == f"../deep/other%20one/{sample_of(seed=3).folder}/image.png"
    assert sorted(path.name for path in root.iterdir()) == ["gallery", "index.html"]
    page = visit(root / "index.html")
    assert head_texts(page) == [
        ["DAS", "b", "mean 4.15, n = 2"], ["DAS", "a", "mean 8.00, n = 2"],
        ["DAS-AG", "b", "mean 5.15, n = 2"], ["DAS-rAG", "b", "mean 6.15, n = 2"],
    ]  # fmt: skip
    rows = [row.locator(".cell").all_inner_texts() for row in page.locator(".row").all()]
    assert rows == [["4.10", "8.00", "5.10", "6.10"], ["4.20", "", "5.20", "6.20"], ["", "8.00", "", ""]]
    image = page.locator(".row").last.locator("img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 48


def compared(**experiments):
    """Rows of experiments, each with these (method, seed, settings)."""
    rows = [(name, *row) for name, own in experiments.items() for row in own]
    table = pd.DataFrame(rows, columns=["experiment", "method", "seed", "settings"])
    return table.assign(prompt_id="heart", prompt="a red heart", negative="")


DAS = ("das", 1, "")


@pytest.mark.parametrize(
    ("scores", "titles", "columns"),
    [
        (compared(b=[DAS], a=[DAS]), [""], [("das", "b"), ("das", "a")]),
        (compared(b=[DAS], a=[("das", 2, "")]), ["b", "a"], [("das", "")]),
        (compared(b=[DAS, ("das", 1, "steps=7")], a=[DAS]), ["", "steps 7"], [("das", "b"), ("das", "a")]),
        (compared(b=[DAS, ("das_ag", 1, "objective.aesthetic.end=5.0")], a=[("das_ag", 1, "")]), [""],
         [("das", "b"), ("das_ag", "a"), ("das_ag", "b, aesthetic weight 5")]),
        (compared(**{name: [DAS] for name in "abcdef"}), [""], [("das", name) for name in "abcdef"]),
        (compared(**{name: [DAS] for name in "abcdefg"}), [*"abcdefg"], [("das", "")]),
    ],
)  # fmt: skip
def test_experiments_stand_side_by_side_where_they_share_prompt_and_seed(scores, titles, columns):
    layout = Layout.of(scores)
    assert layout.titles == titles
    assert [(column["method"], column["title"]) for column in layout.columns] == columns
    places = [tuple(layout.place(row).values()) for row in scores.to_dict("records")]
    assert len({*places}) == len(places)


def test_a_bar_shows_its_score_on_the_whole_scale(tmp_path, sample_of, put, visit):
    """Scores that are nearly equal look nearly equal."""
    store = Store(tmp_path / "bars")
    for seed, score in enumerate((6.77, 6.87, 1.0, 10.0, 0.0, 11.0)):
        put(store, sample_of(seed=seed), score)
    page = visit(gallery(store))
    assert "on the scale from 1 to 10" in page.locator("#evaluator").text_content()
    widths = page.eval_on_selector_all(".gauge i", "bars => bars.map(bar => parseFloat(bar.style.width))")
    assert widths == pytest.approx([100 * 5.77 / 9, 100 * 5.87 / 9, 0, 100, 0, 100], abs=0.01)


def test_a_bar_shows_a_score_on_its_own_scale(tmp_path, sample_of, put, visit):
    store = Store(tmp_path / "bars")
    put(store, sample_of(), image=np.zeros((8, 8, 3), np.uint8))
    (record,), _ = store.records()
    store.write_score(record, "clip_score", 25.0, "x", title="CLIP score", scale=[0.0, 100.0])
    page = visit(gallery(store, scores=score_table(store.records()[0], "clip_score")))
    assert "on the scale from 0 to 100" in page.locator("#evaluator").text_content()
    widths = page.eval_on_selector_all(".gauge i", "bars => bars.map(bar => parseFloat(bar.style.width))")
    assert widths == pytest.approx([25], abs=0.01)


def test_pictures_are_sorted(real_store, visit):
    page = visit(real_store.root / "index.html")
    page.click("#choose")
    page.locator("label", has_text="Grid").click()
    page.select_option("#sort", "aesthetic_score")
    falling = shown_scores(page)
    assert len(falling) == 36
    assert falling == sorted(falling, reverse=True)
    page.click("#direction")
    assert shown_scores(page) == sorted(falling)
    page.select_option("#sort", "method")
    assert max(shown_scores(page)[:12]) == 5.1  # those of DAS
    page.locator("label", has_text="Compare").click()
    page.click("#direction")
    assert page.locator(".heads .head b").all_inner_texts() == ["DAS-rAG", "DAS-AG", "DAS"]


def test_pictures_are_chosen(real_store, visit):
    page = visit(real_store.root / "index.html")
    page.click("#choose")
    page.locator("#methods label", has_text="DAS-AG").click()
    assert len(visible_keys(page)) == 24
    assert "a red heart on a white background" in page.locator("#prompt option").all_inner_texts()
    page.select_option("#prompt", "red_heart")
    page.select_option("#seed", "2")
    assert len(visible_keys(page)) == 2
    assert page.locator("#count").inner_text() == "2 of 36 images"
    page.click("#reset")
    assert len(visible_keys(page)) == 36
    page.fill("#search", "yellow BLUE")
    assert len(visible_keys(page)) == 6
    page.fill("#search", "")
    page.fill("#lowest", "5")
    page.fill("#highest", "5.45")
    records = real_store.records()[0]
    assert sorted(visible_keys(page)) == sorted(r.sample.key for r in records if 5 <= r.scores["tiny"]["score"] <= 5.45)
    page.fill("#search", "no such words")
    assert page.locator("#nothing").is_visible()


def test_a_picture_is_opened_and_its_command_copied(real_store, visit):
    page = visit(real_store.root / "index.html", permissions=["clipboard-read", "clipboard-write"])
    first, second = visible_keys(page)[:2]
    page.keyboard.press("Tab")
    page.locator(".card").first.press("Enter")
    assert page.locator("#viewer").is_visible()
    assert page.evaluate("location.hash") == "#" + first
    assert page.locator("#full").evaluate("image => image.decode().then(() => image.naturalWidth)") == 340
    assert page.locator("#curves svg path").count() == 1
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#" + second
    page.keyboard.press("ArrowLeft")
    page.click("#copy")
    page.wait_for_function("document.getElementById('copied').textContent !== ''")
    (sample,) = [s for s in content_of(real_store.root / "index.html")["samples"] if s["key"] == first]
    assert sample["command"].startswith("uv run das-ag run method=")
    assert page.evaluate("navigator.clipboard.readText()") == sample["command"]
    page.locator("summary", has_text="All settings").click()
    assert "pyramid.canvas_px" in page.locator("#settings").inner_text()
    page.keyboard.press("Escape")
    page.locator("#viewer").wait_for(state="hidden")
    page.wait_for_function("location.hash === ''")  # told by an event that comes a little later


def test_a_link_opens_its_picture(real_store, visit):
    key = real_store.records()[0][5].sample.key
    page = visit(real_store.root / "index.html", "#" + key)
    assert page.locator("#viewer").is_visible()
    assert key in page.locator("#made").inner_text()
    page.click("#close")
    assert page.locator("#viewer").is_hidden()


def test_colours_follow_the_system_and_the_button(real_store, visit):
    def lightness(page):
        return sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))

    page = visit(real_store.root / "index.html", color_scheme="dark")
    assert lightness(page) < 150
    page.click("#theme")
    assert lightness(page) > 600
    page.reload()
    assert lightness(page) > 600  # remembered


def test_a_narrow_screen_needs_no_sideways_scrolling(real_store, visit):
    page = visit(real_store.root / "index.html", viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator(".card").first.click()
    assert page.evaluate("document.getElementById('viewer').scrollWidth") <= 400


def wide_table():
    """As the report writes it of one folder with several settings."""
    heads = ["method", "settings", "n", "mean ↑", "95 %", "std", "similarity ↑", "− DAS ↑", "95 %", "p"]
    settings = "learning_rate=0.05 steps=200 objective.total_variation=10.0 views.count=8"
    numbers = ["12", "8.386", "8.226 … 8.536", "0.213", "0.756", "+1.221", "+1.095 … +1.355", "0.031"]
    rows = [[name, settings, *numbers] for name in ("DAS", "DAS-AG", "DAS-rAG")]
    ruled = [heads, ["---", "---", *["--:"] * 8], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in ruled) + "\nA caption.\n"


def test_a_table_with_settings_fits_a_desktop_and_scrolls_on_a_phone(store, visit):
    path = gallery(store, wide_table())
    hidden = "box => box.scrollWidth - box.clientWidth"
    page = visit(path, viewport={"width": 1280, "height": 800})
    page.locator("summary", has_text="Results").click()
    assert page.locator("#results .scroll").evaluate(hidden) == 0
    page = visit(path, viewport={"width": 390, "height": 800})
    page.locator("summary", has_text="Results").click()
    box = page.locator("#results .scroll")
    assert box.evaluate(hidden) > 0
    method = box.get_by_role("cell", name="DAS-AG")
    before = method.bounding_box()["x"]
    box.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    assert method.bounding_box()["x"] == before
    last = box.get_by_role("columnheader", name="p", exact=True).bounding_box()
    assert last["x"] + last["width"] <= 390


def test_a_lone_method_stands_beside_its_text(store, visit):
    page = visit(gallery(store), viewport={"width": 1280, "height": 800})
    page.click("#choose")
    page.locator("#methods label", has_text="DAS-AG").click()
    page.locator("#methods label", has_text="DAS-rAG").click()
    text = page.locator(".row .about").first.bounding_box()
    picture = page.locator(".row .cell").first.bounding_box()
    assert picture["width"] == 272
    assert 0 < picture["x"] - (text["x"] + text["width"]) < 40
    assert text["width"] <= 330
    head = page.locator(".heads .head").bounding_box()
    assert head["x"] == picture["x"]


def test_odd_prompts_and_lone_samples_are_shown(tmp_path, visit, sample_of, put):
    store = Store(tmp_path / "odd")
    put(store, sample_of("evil", positive=(EVIL, "b"), negative=("<i>n</i>",), method="das"), 5.0)
    put(store, sample_of("other", method="das_ag", seed=2**62))
    put(store, sample_of("other", method="strange", seed=3), 6.0)
    page = visit(gallery(store))
    assert page.locator(".row").count() == 3
    assert page.locator(".heads .head b").all_inner_texts() == ["DAS", "DAS-AG", "strange"]
    assert page.locator(".row h2").first.inner_text() == f"{EVIL} | b"
    page.locator(".card").first.click()
    assert page.locator("#viewer-title").inner_text() == f"{EVIL} | b"
    assert page.locator("#command-section").is_hidden()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.locator("#position").inner_text() == "1 of 3"
    one = Store(tmp_path / "one")
    put(one, sample_of())
    page = visit(gallery(one))
    page.locator(".card").click()
    assert page.locator("#numbers dd").all_inner_texts() == ["5.50", "0.250"]


@pytest.mark.slow
def test_three_hundred_pictures_stay_quick(tmp_path, visit, sample_of, put, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the test
    store = Store(tmp_path / "many")
    for n in range(300):
        sample = sample_of(f"prompt_{n // 30}", method=METHODS[n % 3], seed=n // 3)
        put(store, sample, 3 + n % 50 / 10, image=noise(n, 48))
    path = gallery(store)
    started = time.perf_counter()
    page = visit(path)
    page.click("#choose")
    page.locator("label", has_text="Grid").click()
    page.select_option("#sort", "aesthetic_score")
    scores = shown_scores(page)
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 300
    page.fill("#search", "prompt_7")
    assert len(visible_keys(page)) == 30
    assert time.perf_counter() - started < 30
