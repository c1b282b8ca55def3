// Address, clipboard and colours; then everything begins.

/** A page from the disk may be refused a history of its own. */
function toAddress(hash) {
  try {
    history.replaceState(null, "", hash || location.pathname + location.search);
  } catch {
    location.hash = hash;
  }
}

function followAddress() {
  if (location.hash === "#left-out") $("left-out").open = true;
  const key = decodeURIComponent(location.hash.slice(1));
  const linked = key.length >= 8 && samples.find((sample) => sample.key.startsWith(key));
  if (linked && linked !== current) show(linked, { remember: false });
}

async function copyCommand() {
  let copied = true;
  try {
    await navigator.clipboard.writeText($("command").textContent);
  } catch {
    getSelection().selectAllChildren($("command"));
    copied = document.execCommand("copy");
  }
  $("copied").textContent = copied
    ? "Copied. Run it in the project folder; it writes to outputs/again."
    : "Selected: copy it with Ctrl+C.";
}

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";

function writeThemeButton() {
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `${isDark() ? "Light" : "Dark"} colours`);
}

function recallTheme() {
  let theme = null;
  try {
    theme = localStorage.getItem("das-ag-theme");
  } catch {
    /* refused: nothing is remembered */
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  writeThemeButton();
}

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("das-ag-theme", theme);
  } catch {
    /* refused: nothing is remembered */
  }
  writeThemeButton();
}

/** Takes the choices back, not the view nor the order. */
function showAll() {
  for (const box of document.querySelectorAll("[name=method]")) box.checked = true;
  for (const id of ["prompt", "seed", "search", "lowest", "highest"]) $(id).value = "";
  arrange();
  $("choose").focus();
}

function close() {
  const left = current;
  current = null;
  toAddress("");
  const card = left && cards.find(({ sample }) => sample === left);
  if (card?.visible) {
    card.element.scrollIntoView({ block: "nearest" });
    card.element.focus({ preventScroll: true });
  }
}

function unfold(open) {
  $("choices").hidden = !open;
  $("choose").setAttribute("aria-expanded", open);
}

/** Paper shows what is folded. */
function printAll() {
  const folded = [...document.querySelectorAll("#more details:not([open])")];
  for (const details of folded) details.open = true;
  addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)), { once: true });
}

function listen() {
  $("choose").addEventListener("click", () => unfold($("choices").hidden));
  addEventListener("beforeprint", printAll);
  $("controls").addEventListener("input", arrange);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", showAll);
  $("sort").addEventListener("change", () => {
    ascending = $("sort").value in DIRECTIONS; // of numbers the highest first
    arrange();
  });
  $("direction").addEventListener("click", () => {
    ascending = !ascending;
    arrange();
  });
  $("theme").addEventListener("click", toggleTheme);
  systemDark.addEventListener("change", writeThemeButton);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => $("viewer").close());
  $("copy").addEventListener("click", copyCommand);
  $("viewer").addEventListener("close", close);
  $("viewer").addEventListener("click", (event) => {
    if (event.target === $("viewer")) $("viewer").close();
  });
  $("viewer").addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target === $("command")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      event.preventDefault();
      step(by);
    }
  });
  addEventListener("hashchange", followAddress);
  addEventListener("resize", () => {
    if (current) drawCurves();
  });
}

recallTheme();
writeMasthead();
writeBackground();
fillControls();
listen();
arrange();
followAddress();
