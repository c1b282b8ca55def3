// Which pictures are shown, and in which order.

function fillControls() {
  for (const method of content.methods) {
    const box = make("input", { type: "checkbox", name: "method", value: method.id, defaultChecked: true });
    $("methods").append(make("label", { className: "chip" }, box, withDot(method)));
  }
  const option = (value, text) => make("option", { value, textContent: text });
  const ids = [...new Set(samples.map((s) => s.prompt_id))].sort(compareTexts);
  $("prompt").append(...ids.map((id) => option(id, content.prompts[id].replaceAll("_", " "))));
  const seeds = [...new Set(samples.map((s) => s.seed))].sort(compareTexts);
  $("seed").append(...seeds.map((seed) => option(seed, seed)));
  if (scores.length) {
    $("lowest").placeholder = (Math.floor(least * 10) / 10).toFixed(1);
    $("highest").placeholder = (Math.ceil(most * 10) / 10).toFixed(1);
  }
  $("sort").append(
    option("prompt", "prompt"),
    ...content.numbers.map(([name, text]) => option(name, text)),
    option("method", "method"),
    option("seed", "seed"),
  );
}

const DIRECTIONS = { prompt: ["A to Z", "Z to A"], method: ["A to Z", "Z to A"], seed: ["ascending", "descending"] };
let ascending = true;
let order = samples; // what the dialog's arrows go through

function chosen() {
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  return {
    view: document.querySelector("[name=view]:checked").value,
    methods: [...document.querySelectorAll("[name=method]:checked")].map((box) => box.value),
    prompt: $("prompt").value,
    seed: $("seed").value,
    words: $("search").value.toLowerCase().split(/\s+/).filter(Boolean),
    lowest: number("lowest"),
    highest: number("highest"),
    sort: $("sort").value,
  };
}

function fits(card, want) {
  const s = card.sample,
    value = score(s);
  if (
    !want.methods.includes(s.method) ||
    (want.prompt && s.prompt_id !== want.prompt) ||
    (want.seed && s.seed !== want.seed)
  )
    return false;
  if (want.lowest !== null && !(value !== null && value >= want.lowest)) return false;
  if (want.highest !== null && !(value !== null && value <= want.highest)) return false;
  return want.words.every((word) => card.words.includes(word));
}

/** Compares by the chosen property; what has no number comes last both ways; ties by prompt, seed and method. */
function comparison(sort, numberOf) {
  const sign = ascending ? 1 : -1;
  const byPrompt = (a, b) =>
    compareTexts(a.sample.prompt_id, b.sample.prompt_id) || compareTexts(prompt(a.sample), prompt(b.sample));
  const rest = (a, b) =>
    byPrompt(a, b) ||
    compareTexts(a.sample.seed, b.sample.seed) ||
    a.sample.section - b.sample.section ||
    a.sample.column - b.sample.column;
  const by =
    {
      prompt: (a, b) => sign * byPrompt(a, b),
      seed: (a, b) => sign * compareTexts(a.sample.seed, b.sample.seed),
      method: (a, b) => sign * (methodOf.get(a.sample.method).place - methodOf.get(b.sample.method).place),
    }[sort] ??
    ((a, b) => {
      const left = numberOf(a),
        right = numberOf(b);
      if (left === null || right === null) return (left === null) - (right === null);
      return sign * (left - right);
    });
  return (a, b) => by(a, b) || rest(a, b);
}

function arrange() {
  const want = chosen();
  for (const card of cards) {
    card.visible = fits(card, want);
    card.second.textContent = secondText(card.sample, want.sort);
  }
  const shown = cards.filter((card) => card.visible);
  const comparing = want.view === "compare";
  $("sections").hidden = !comparing || !shown.length;
  $("grid").hidden = comparing || !shown.length;
  order = (comparing ? sections.flatMap((section) => arrangeSection(section, want)) : arrangeGrid(want)).map((card) => card.sample);
  $("nothing").hidden = shown.length > 0;
  $("count").textContent =
    shown.length === cards.length
      ? plural(cards.length, "image")
      : `${shown.length} of ${plural(cards.length, "image")}`;
  $("reset").hidden = shown.length === cards.length;
  const [up, down] = DIRECTIONS[want.sort] ?? ["lowest first", "highest first"];
  $("direction").textContent = ascending ? `↑ ${up}` : `↓ ${down}`;
  $("direction").setAttribute("aria-label", `Direction: ${ascending ? "ascending" : "descending"}`);
}

function secondText(sample, sort) {
  const column = content.numbers.find(([name]) => name === sort);
  return !column || sort === SCORE ? "" : `${column[1].split(" ")[0]} ${written(sort, sample.numbers[sort])}`;
}

function arrangeGrid(want) {
  const sorted = [...cards].sort(comparison(want.sort, (card) => card.sample.numbers[want.sort] ?? null));
  for (const card of sorted) {
    card.element.hidden = !card.visible;
    card.element.classList.remove("best");
  }
  $("grid").append(...sorted.map((card) => card.element));
  return sorted.filter((card) => card.visible);
}

/** Rows by the mean of what they show; columns of the methods that are chosen. Gives the cards in their order. */
function arrangeSection(section, want) {
  const isChosen = (column) => want.methods.includes(content.columns[column].method);
  const columns = [...section.heads.keys()].filter(isChosen);
  if (want.sort === "method" && !ascending) columns.reverse();
  const { rows } = section;
  for (const row of rows) {
    row.shown = row.cards.filter((card) => card.visible);
    row.number = mean(known(row.shown.map((card) => card.sample.numbers[want.sort])));
    placeCards(row, columns);
  }
  const inOrder = (a, b) =>
    compareTexts(a.sample.prompt_id, b.sample.prompt_id) || compareTexts(a.sample.seed, b.sample.seed);
  rows.sort(want.sort === "method" ? inOrder : comparison(want.sort, (row) => row.number));
  section.list.append(...rows.map((row) => row.element));
  section.element.hidden = !rows.some((row) => row.shown.length);
  setWidths(section.element, columns.length);
  writeHeads(section, columns);
  return rows.flatMap((row) => columns.flatMap((column) => row.shown.filter((c) => c.sample.column === column)));
}

function placeCards(row, columns) {
  const best = Math.max(...known(row.shown.map((card) => score(card.sample))));
  row.element.hidden = !row.shown.length;
  for (const card of row.cards) {
    card.element.hidden = !card.visible;
    card.element.classList.toggle("best", row.shown.length > 1 && score(card.sample) === best);
  }
  const cellOf = (column) =>
    make("div", { className: "cell" }, ...row.shown.filter((c) => c.sample.column === column).map((c) => c.element));
  row.cells.replaceChildren(...columns.map(cellOf));
}

const MOST_COLUMNS = 6,
  FEW_COLUMNS = 3; // beside each other on a wide and on a narrow screen; more go on below

function setWidths(element, columns) {
  const beside = (most) => Math.ceil(columns / Math.ceil(columns / most)) || 1;
  element.style.setProperty("--columns", beside(MOST_COLUMNS));
  element.style.setProperty("--few", beside(FEW_COLUMNS));
  element.classList.toggle("many", columns > MOST_COLUMNS);
  element.classList.toggle("several", columns > FEW_COLUMNS);
}

/** The mean of each column, as in the table: of one method with one setting. */
function writeHeads(section, columns) {
  for (const column of columns) {
    const own = section.cards.filter((card) => card.visible && card.sample.column === column);
    const values = known(own.map((card) => score(card.sample)));
    const text = values.length ? `mean ${written(SCORE, mean(values))}, n = ${values.length}` : "";
    section.heads.get(column).lastChild.textContent = text;
  }
  section.head.lastChild.replaceChildren(...columns.map((column) => section.heads.get(column)));
}
