// Which pictures are shown, and in which order.

function fillControls() {
  for (const method of content.methods) {
    const box = make("input", { type: "checkbox", name: "method", value: method.id, defaultChecked: true });
    $("methods").append(make("label", { className: "chip" }, box, withDot(method)));
  }
  const prompts = new Map(samples.map((s) => [s.prompt_id, prompt(s)]));
  const option = (value, text) => make("option", { value, textContent: text });
  const ids = [...prompts.keys()].sort(compareTexts);
  $("prompt").append(...ids.map((id) => option(id, id.replaceAll("_", " "))));
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
  const rest = (a, b) =>
    compareTexts(a.sample.prompt_id, b.sample.prompt_id) ||
    compareTexts(prompt(a.sample), prompt(b.sample)) ||
    compareTexts(a.sample.seed, b.sample.seed) ||
    compareTexts(a.sample.shared, b.sample.shared) ||
    compareTexts(a.sample.reward, b.sample.reward) ||
    methodOf.get(a.sample.method).place - methodOf.get(b.sample.method).place;
  const by =
    {
      prompt: (a, b) =>
        sign *
        (compareTexts(a.sample.prompt_id, b.sample.prompt_id) || compareTexts(prompt(a.sample), prompt(b.sample))),
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
  $("heads").hidden = $("rows").hidden = !comparing || !shown.length;
  $("grid").hidden = comparing || !shown.length;
  order = (comparing ? arrangeRows(want) : arrangeGrid(want)).map((card) => card.sample);
  $("nothing").hidden = shown.length > 0;
  $("count").textContent =
    shown.length === cards.length
      ? plural(cards.length, "image")
      : `${shown.length} of ${plural(cards.length, "image")}`;
  $("reset").hidden = shown.length === cards.length;
  const number = !["prompt", "method", "seed"].includes(want.sort);
  $("direction").textContent = number
    ? ascending
      ? "↑ lowest first"
      : "↓ highest first"
    : ascending
      ? "↑ A to Z"
      : "↓ Z to A";
  if (want.sort === "seed") $("direction").textContent = ascending ? "↑ ascending" : "↓ descending";
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

/** Rows by the mean of what they show; the columns are the methods that are chosen. */
function arrangeRows(want) {
  const columns = content.methods
    .map((m, place) => place)
    .filter((place) => want.methods.includes(content.methods[place].id));
  if (want.sort === "method" && !ascending) columns.reverse();
  $("pictures").style.setProperty("--columns", Math.max(columns.length, 1));
  const inRow = (row) => row.cards.filter((card) => card.visible);
  const compare = want.sort === "method" ? comparison("seed", null) : comparison(want.sort, (row) => row.number);
  for (const row of rows) row.number = mean(known(inRow(row).map((card) => card.sample.numbers[want.sort])));
  if (want.sort === "method")
    rows.sort(
      (a, b) => compareTexts(a.sample.prompt_id, b.sample.prompt_id) || compareTexts(a.sample.seed, b.sample.seed),
    );
  else rows.sort(compare);
  for (const row of rows) placeCards(row, columns);
  $("rows").append(...rows.map((row) => row.element));
  writeHeads(columns);
  return rows.flatMap((row) =>
    columns.flatMap((place) => inRow(row).filter((c) => c.sample.method === content.methods[place].id)),
  );
}

function placeCards(row, columns) {
  const visible = row.cards.filter((card) => card.visible);
  const best = Math.max(...known(visible.map((card) => score(card.sample))));
  row.element.hidden = !visible.length;
  row.cells.forEach((cell, place) => {
    cell.hidden = !columns.includes(place);
  });
  row.element.append(...columns.map((place) => row.cells[place]));
  for (const card of row.cards) {
    card.element.hidden = !card.visible;
    card.element.classList.toggle("best", visible.length > 1 && score(card.sample) === best);
    row.cells[methodOf.get(card.sample.method).place].append(card.element);
  }
}

const MOST_MEANS = 4; // more would hide the pictures

/** A mean for each settings of a method, as in the table. */
function meansOf(method) {
  const found = new Map();
  for (const card of cards) {
    if (!card.visible || card.sample.method !== method || score(card.sample) === null) continue;
    if (!found.has(card.sample.label)) found.set(card.sample.label, []);
    found.get(card.sample.label).push(score(card.sample));
  }
  if (found.size > MOST_MEANS) return [`means of ${found.size} settings: see the table`];
  return [...found].map(([label, values]) => {
    const numbers = `mean ${written(SCORE, mean(values))}, n = ${values.length}`;
    return found.size > 1 ? `${label || "others"}: ${numbers}` : numbers;
  });
}

function writeHeads(columns) {
  heads.forEach((head, place) => {
    const lines = meansOf(content.methods[place].id).map((textContent) => make("small", { textContent }));
    head.querySelector(".means").replaceChildren(...lines);
  });
  $("heads").replaceChildren(make("div", { className: "corner" }), ...columns.map((place) => heads[place]));
}
