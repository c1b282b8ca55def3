// One picture with all that is known of it.

let current = null;

function show(sample, { remember = true } = {}) {
  current = sample;
  const method = methodOf.get(sample.method);
  const viewer = $("viewer");
  viewer.style.setProperty("--method", method.colour);
  $("full").src = sample.image;
  $("full").alt = described(sample);
  $("original").href = sample.image;
  $("original").title = `${sample.size.join(" × ")} px; open the file`;
  $("viewer-method").replaceChildren(
    withDot(method),
    ` · seed ${sample.seed}${worded(sample) ? ` · ${worded(sample)}` : ""}`,
  );
  $("viewer-title").textContent = prompt(sample);
  $("viewer-title").classList.toggle("long", isLong(sample));
  $("viewer-negative").textContent = sample.negative.length ? `Negative prompt: ${sample.negative.join(" | ")}` : "";
  $("numbers").replaceChildren(
    ...content.numbers.map(([name, text]) =>
      make(
        "div",
        {},
        make("dt", { textContent: name === SCORE ? `score by ${content.evaluator}` : text }),
        make("dd", { textContent: written(name, sample.numbers[name]) }),
      ),
    ),
  );
  $("command").textContent = sample.command;
  $("command-section").hidden = !sample.command;
  $("copied").textContent = "";
  writeSettings(sample);
  writeSiblings(sample);
  const place = order.indexOf(sample);
  $("position").textContent = place < 0 ? "not in this selection" : `${place + 1} of ${order.length}`;
  if (!viewer.open) viewer.showModal();
  document.querySelector(".facts").scrollTop = 0;
  drawCurves();
  if (remember) toAddress(`#${sample.key}`);
}

function writeSettings(sample) {
  const lines = [
    ["method", sample.method],
    ["prompt", sample.prompt_id],
    ["seed", sample.seed],
  ];
  const flatten = (value, name) => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [part, item] of Object.entries(value)) flatten(item, name ? `${name}.${part}` : part);
    } else lines.push([name, Array.isArray(value) ? value.join(", ") : String(value)]);
  };
  flatten(content.settings[sample.settings], "");
  $("settings").replaceChildren(
    make(
      "tbody",
      {},
      ...lines.map(([name, value]) =>
        make("tr", {}, make("th", { scope: "row", textContent: name }), make("td", { textContent: value })),
      ),
    ),
  );
  const made = sample.made;
  $("made").textContent = [
    made.device && `Made on ${made.device}`,
    made.duration_s && `${made.duration_s.toFixed(1)} s per image`,
    made.git_commit && `commit ${made.git_commit.slice(0, 12)}`,
    `key ${sample.key}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

function writeSiblings(sample) {
  const all = samples.filter((other) => promptAndSeed(other) === promptAndSeed(sample));
  all.sort((a, b) => a.section - b.section || a.column - b.column);
  $("siblings").hidden = all.length < 2;
  $("siblings").replaceChildren(
    ...all.map((other) => {
      const method = methodOf.get(other.method);
      const button = make(
        "button",
        { type: "button" },
        make("img", { src: other.thumbnail, alt: "" }),
        `${[method.name, worded(other)].filter(Boolean).join(", ")}: ${written(SCORE, score(other))}`,
      );
      button.style.setProperty("--method", method.colour);
      if (other === sample) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => {
        show(other);
        $("siblings").querySelector("[aria-current]").focus();
      });
      return button;
    }),
  );
}

function step(by) {
  if (!order.length) return;
  const place = order.indexOf(current);
  show(order[place < 0 ? 0 : (place + by + order.length) % order.length]);
}
