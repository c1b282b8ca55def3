// What was measured while a picture was made.

const SVG = "http://www.w3.org/2000/svg";
function draw(parent, tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(text);
  parent.append(element);
  return element;
}

/** Round numbers from low to high, about as many as wanted. */
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1,
    power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
  const found = [];
  for (let n = Math.ceil(low / size - 1e-9); n * size <= high + size * 1e-6; n += 1)
    found.push(Number((n * size).toPrecision(10)));
  return found;
}

function drawCurves() {
  const curves = Object.entries(current.trace).filter(([, values]) => known(values).length);
  $("curves-section").hidden = !curves.length;
  const width = Math.max($("curves").clientWidth, 240),
    left = 44,
    right = 10,
    head = 22,
    panel = 74,
    gap = 16,
    foot = 34;
  if (!curves.length) return;
  const steps = Math.max(...curves.map(([, values]) => values.length));
  const height = curves.length * (head + panel) + (curves.length - 1) * gap + foot;
  const x = (index) => left + (width - left - right) * (steps > 1 ? index / (steps - 1) : 0.5);
  const told = curves.map(([name, v]) => `${name} from ${known(v)[0]} to ${known(v).at(-1)}`).join(", ");
  $("curves").replaceChildren();
  const label = `${steps} steps: ${told}`;
  const svg = draw($("curves"), "svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  const bottom = height - foot;
  for (const tick of ticks(0, steps - 1, Math.min(5, Math.max(steps - 1, 1))).filter(Number.isInteger)) {
    draw(svg, "text", { x: x(tick), y: bottom + 15, "text-anchor": "middle", class: "axis" }, tick);
  }
  draw(
    svg,
    "text",
    { x: (left + width - right) / 2, y: bottom + 30, "text-anchor": "middle", class: "axis" },
    "step",
  );
  const readouts = curves.map(([name, values], n) =>
    drawPanel(svg, name, values, { x, top: n * (head + panel + gap) + head, panel, left, end: width - right }),
  );
  followPointer(svg, { steps, x, left, span: width - left - right, top: head, bottom, readouts });
}

function drawPanel(svg, name, values, { x, top, panel, left, end }) {
  let low = Math.min(...known(values)),
    high = Math.max(...known(values));
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const margin = (high - low) * 0.06;
  const y = (value) => top + panel - (panel * (value - low + margin)) / (high - low + 2 * margin);
  for (const tick of ticks(low, high, 4)) {
    draw(svg, "line", { x1: left, x2: end, y1: y(tick), y2: y(tick), class: "guide" });
    draw(
      svg,
      "text",
      { x: left - 8, y: y(tick) + 4, "text-anchor": "end", class: "axis" },
      signed(tick),
    );
  }
  draw(svg, "text", { x: left, y: top - 7, class: "name" }, name);
  const readout = draw(svg, "text", { x: end, y: top - 7, "text-anchor": "end", class: "axis" });
  const path = values
    .map((value, i) =>
      value === null ? "" : `${i && values[i - 1] !== null ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`,
    )
    .join("");
  draw(svg, "path", { d: known(values).length > 1 ? path : `${path}h.01`, class: "line" });
  const write = (index) => {
    const at = index ?? values.length - 1;
    readout.textContent =
      values[at] === null || values[at] === undefined
        ? "–"
        : `${index === null ? "last" : `step ${at}`}: ${signed(values[at].toFixed(3))}`;
  };
  write(null);
  return write;
}

function followPointer(svg, { steps, x, left, span, top, bottom, readouts }) {
  const cursor = draw(svg, "line", { y1: top, y2: bottom, class: "cursor", visibility: "hidden" });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) * svg.viewBox.baseVal.width) / box.width;
    const index = Math.round(Math.min(Math.max((at - left) / span, 0), 1) * (steps - 1));
    cursor.setAttribute("x1", x(index));
    cursor.setAttribute("x2", x(index));
    cursor.setAttribute("visibility", "visible");
    readouts.forEach((write) => write(index));
  });
  svg.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readouts.forEach((write) => write(null));
  });
}
