// What the page knows, what stands around the pictures, and the pictures themselves.

const content = JSON.parse(document.getElementById("content").textContent);
const samples = content.samples;
const SCORE = "aesthetic_score";
const [LOWEST, HIGHEST] = content.scale; // ends of the scale of scores
const LONG = 80; // letters; longer prompts go by their names where there is little room
const $ = (id) => document.getElementById(id);
const methodOf = new Map(content.methods.map((method, place) => [method.id, { ...method, place }]));

/** An element; text goes in as text, never as markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
const prompt = (sample) => sample.prompt.join(" | ");
const promptAndSeed = (sample) => JSON.stringify([sample.prompt_id, sample.prompt, sample.negative, sample.seed]);
const described = (sample) => `${prompt(sample)}, by ${methodOf.get(sample.method).name}, seed ${sample.seed}`;
const isLong = (sample) => prompt(sample).length > LONG;
const named = (sample) => sample.prompt_id.replaceAll("_", " ");
const score = (sample) => sample.numbers[SCORE] ?? null;
const columnTitle = (sample) => content.columns[sample.column].title;
const worded = (sample) => [content.sections[sample.section], columnTitle(sample)].filter(Boolean).join(", ");
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const compareTexts = (a, b) => a.localeCompare(b, "en", { numeric: true });
const signed = (text) => String(text).replace("-", "−");
function written(name, value) {
  if (value === null || value === undefined) return "–";
  return signed(value.toFixed(name.includes("score") ? 2 : 3));
}
function withDot(method, tag = "span") {
  const dot = make("i", { className: "dot" });
  dot.style.setProperty("--method", method.colour);
  return make(tag, {}, dot, method.name);
}
const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
const known = (values) => values.filter((value) => value !== null && value !== undefined);

// ---- What stands above and below the pictures

function writeMasthead() {
  $("title").textContent = $("title").title = content.title.replaceAll("_", " ");
  $("lead").textContent =
    `${plural(samples.length, "image")} made from text alone by Direct Ascent Synthesis` +
    (scores.length ? `, scored from ${LOWEST} to ${HIGHEST} by ${content.evaluator}` : "") +
    (scores.length && content.guided ? ", which ALSO GUIDED some of them." : ".");
  const textContent = `${content.left_out.length} left out or incomplete.`;
  if (content.left_out.length) $("lead").append(" ", make("a", { href: "#left-out", textContent }));
}

function writeBackground() {
  const prompts = new Set(samples.map((s) => s.prompt_id + "\n" + prompt(s))).size;
  const seeds = new Set(samples.map((s) => s.seed)).size;
  const guiding = content.guided ? "ALSO GUIDED some" : "guided none";
  $("made-how").textContent =
    `${plural(samples.length, "image")}: ${plural(prompts, "prompt")}, ${plural(seeds, "seed")}, ` +
    `${plural(content.methods.length, "method")}. Gradient ascent makes each image from its text alone. ` +
    "It optimises a pyramid of pixels with frozen networks that compare images with texts, without a generator. " +
    "DAS uses only the text; DAS-AG adds an aesthetic score as a reward, DAS-rAG as a penalty.";
  $("evaluator").textContent = scores.length
    ? `Scores by ${content.evaluator}, which ${guiding} of the images (n = ${scores.length}). ` +
      `The bar under a picture shows its score on the scale from ${LOWEST} to ${HIGHEST}.`
    : `${content.evaluator} has not scored these images yet.`;
  writeResults();
  writePlots();
  $("left-out").hidden = !content.left_out.length;
  $("left-out").querySelector("summary").textContent = `Left out or incomplete: ${content.left_out.length}`;
  const lines = content.left_out.map((text) => make("li", { textContent: text }));
  $("left-out").querySelector("ul").append(...lines);
}

/** The report's table and what stands around it, folded; each heading begins a part of its own. */
function writeResults() {
  let place = null;
  const fold = (textContent) => {
    place = make("details", {}, make("summary", { textContent }));
    $("results").append(place);
  };
  for (const block of content.results) {
    if (block.kind === "heading") fold(block.text);
    else {
      if (!place) fold("Results and statistics");
      place.append(block.kind === "table" ? makeTable(block) : make("p", { textContent: block.text }));
    }
  }
}

function writePlots() {
  $("plots").hidden = !content.plots.length;
  $("plots").append(
    ...content.plots.map((name) =>
      make(
        "a",
        { href: `plots/${name}.png` },
        make("img", { alt: `Plot: ${name}`, loading: "lazy", src: `plots/${name}.png` }),
      ),
    ),
  );
}

/** A head may go over several lines, but keeps arrows, signs and percent with their words. */
const unbroken = (text) => text.replace(/ (?=[↑↓%])|(?<=−) /g, "\u00a0");

function makeTable(block) {
  const byName = new Map(content.methods.map((method) => [method.name, method]));
  const line = (tag) => (cells) =>
    make(
      "tr",
      {},
      ...cells.map((text, column) => {
        const cell = make(tag, { className: block.numbers[column] ? "number" : "" });
        if (tag === "th") cell.scope = "col";
        if (tag === "th") cell.append(unbroken(text));
        else cell.append(byName.has(text) ? withDot(byName.get(text)) : text);
        return cell;
      }),
    );
  const table = make(
    "table",
    {},
    make("thead", {}, line("th")(block.heads)),
    make("tbody", {}, ...block.rows.map(line("td"))),
  );
  return make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Results" }, table);
}

// ---- Pictures, built once; what follows only moves and hides them

const scores = known(samples.map(score));
const least = Math.min(...scores),
  most = Math.max(...scores);
const cards = samples.map(makeCard);
const sections = makeSections();

function makeCard(sample) {
  const method = methodOf.get(sample.method);
  const image = make("img", {
    alt: described(sample),
    width: sample.size[0],
    height: sample.size[1],
    loading: "lazy",
    decoding: "async",
    src: sample.thumbnail,
  });
  const what = make(
    "span",
    { className: "what" },
    make("em", { textContent: isLong(sample) ? named(sample) : prompt(sample) }),
    withDot(method),
    ` · seed ${sample.seed}`,
  );
  const column = make("span", { className: "column" }, withDot(method), make("small", { textContent: columnTitle(sample) }));
  if (worded(sample)) what.append(make("span", { className: "label", textContent: worded(sample) }));
  const second = make("span", { className: "second" });
  const bar = make("i");
  if (score(sample) !== null)
    bar.style.width = `${100 * Math.min(Math.max((score(sample) - LOWEST) / (HIGHEST - LOWEST), 0), 1)}%`;
  const under = make(
    "span",
    { className: "under" },
    make("span", { className: "score", textContent: written(SCORE, score(sample)) }),
    second,
    make("span", { className: "gauge" }, bar),
    column,
    what,
  );
  const element = make(
    "button",
    { type: "button", className: "card" },
    make("span", { className: "frame" }, image),
    under,
  );
  element.dataset.key = sample.key;
  element.style.setProperty("--method", method.colour);
  element.addEventListener("click", () => show(sample));
  const words = [
    prompt(sample),
    sample.prompt_id,
    sample.negative.join(" "),
    method.name,
    sample.method,
    `seed ${sample.seed}`,
    sample.key,
    sample.label,
    worded(sample),
  ]
    .join("\n")
    .toLowerCase();
  return { sample, element, second, words, visible: true };
}

/** The sections and columns of layout.py; no mean of a column is of several settings. */
function makeSections() {
  return content.sections.map((title, place) => {
    const own = cards.filter((card) => card.sample.section === place);
    const places = [...new Set(own.map((card) => card.sample.column))].sort((a, b) => a - b);
    const heads = new Map(places.map((column) => [column, makeHead(content.columns[column])]));
    const head = make("div", { className: "heads" }, make("h2", { className: "which", textContent: title }));
    const list = make("div", { className: "rows" });
    const element = make("section", { className: "section", ariaLabel: title || "Pictures" }, head, list);
    head.append(make("div", { className: "cells" }));
    $("sections").append(element);
    return { element, head, heads, list, rows: makeRows(own), cards: own };
  });
}

function makeHead({ method, title }) {
  const name = withDot(methodOf.get(method), "b");
  return make("div", { className: "head" }, name, make("small", { textContent: title }), make("small"));
}

/** A row for each prompt and seed, with a cell for each column. */
function makeRows(own) {
  const found = new Map();
  for (const card of own) {
    const s = card.sample;
    const name = promptAndSeed(s);
    if (!found.has(name)) found.set(name, { sample: s, cards: [] });
    found.get(name).cards.push(card);
  }
  for (const row of found.values()) {
    const s = row.sample;
    const title = make("h2", {
      className: isLong(s) ? "clamp long" : "clamp",
      textContent: prompt(s),
      title: prompt(s),
    });
    const which = `${isLong(s) ? `${named(s)} · ` : ""}seed ${s.seed}`;
    row.cells = make("div", { className: "cells" });
    row.element = make(
      "article",
      { className: "row", ariaLabel: `${prompt(s)}, seed ${s.seed}` },
      make("div", { className: "about" }, title, make("p", { textContent: which })),
      row.cells,
    );
  }
  return [...found.values()];
}
