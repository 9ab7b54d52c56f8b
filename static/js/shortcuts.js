// Shortcuts: the table in shortcuts.json says what each key does; the help page shows the same table.
const SEQUENCE_MS = 1200;
const response = await fetch("/static/js/shortcuts.json");
const table = response.ok ? await response.json() : [];
const dialog = document.getElementById("shortcuts");
let first = null; // the first key of a pair, and until when it counts

const ACTIONS = {
  help: () => showTable(),
  search: () => document.querySelector("[data-search]")?.focus(),
  go: ({ to }) => location.assign(to),
  new: () => location.assign(document.querySelector("[data-new]")?.href ?? "/jobs/new"),
  step: ({ by }) => document.dispatchEvent(new CustomEvent("studio:step", { detail: by })),
  compare: () => {
    const job = location.pathname.match(/^\/jobs\/(\d+)$/);
    if (job) location.assign(`/compare?jobs=${job[1]}`);
  },
};

const typing = (target) => target.closest("input, select, textarea, [contenteditable]") && !target.matches("[type=checkbox], [type=radio], [type=range]");

function showTable() {
  const rows = table.map(({ keys, words, where }) => {
    const row = document.createElement("tr");
    const cell = document.createElement("td");
    for (const key of keys) cell.append(Object.assign(document.createElement("kbd"), { textContent: key }), " ");
    const does = Object.assign(document.createElement("td"), { textContent: words });
    const place = Object.assign(document.createElement("td"), { textContent: where, className: "note" });
    row.append(cell, does, place);
    return row;
  });
  const body = document.createElement("tbody");
  body.append(...rows);
  const whole = document.createElement("table");
  whole.append(body);
  dialog.querySelector("[data-shortcuts]").replaceChildren(whole);
  dialog.showModal();
}

function matching(key) {
  if (first && performance.now() < first.until) {
    const pair = table.find(({ keys, action }) => action && keys.length === 2 && keys[0] === first.key && keys[1] === key);
    first = null;
    if (pair) return pair;
  }
  if (table.some(({ keys, action }) => action && keys.length === 2 && keys[0] === key)) first = { key, until: performance.now() + SEQUENCE_MS };
  return table.find(({ keys, action }) => action && keys.length === 1 && keys[0] === key);
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || document.querySelector("dialog[open], .pswp--open")) return;
  const found = matching(event.key);
  if (!found) return;
  event.preventDefault();
  ACTIONS[found.action](found);
});
