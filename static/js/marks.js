/* Star, reject and undo: what a person says of images, sent to the server and shown at once.
 *
 * The page changes before the server answers and changes back if the server refuses, so the tiles never
 * show what was not kept for longer than the answer takes.
 */

const WORDS = { starred: "starred", rejected: "rejected", none: "cleared" };

export class Marks {
  /** grid: the list of tiles; url: where marks are posted, with `context`; onCounts: called with {none, starred, rejected}. */
  constructor({ grid, url, context, onCounts }) {
    this.grid = grid;
    this.url = url;
    this.context = context;
    this.onCounts = onCounts;
    this.done = []; // steps that can be taken back, newest last: Map(id -> mark before)
    this.sending = Promise.resolve();
  }

  /** Give `tiles` the mark; all of them having it already takes it away. */
  toggle(tiles, mark) {
    const all = tiles.every((tile) => tile.dataset.mark === mark);
    return this.set(tiles, all ? "none" : mark);
  }

  async set(tiles, mark) {
    const before = new Map(tiles.map((tile) => [tile.dataset.id, tile.dataset.mark]));
    if (!before.size) return;
    const kept = await this.apply(new Map([...before.keys()].map((id) => [id, mark])));
    if (!kept) return;
    this.done.push(before);
    const what = before.size === 1 ? "1 image" : `${before.size} images`;
    toast(`${what} ${WORDS[mark]}`, () => this.undo());
  }

  async undo() {
    const before = this.done.pop();
    if (!before) return toast("Nothing to undo");
    if (await this.apply(before)) toast(before.size === 1 ? "Undone" : `Undone for ${before.size} images`);
  }

  /** Show and send marks, Map(id -> mark), in the order in which they were given. */
  async apply(marks) {
    const shown = new Map([...marks.keys()].map((id) => [id, this.tile(id)?.dataset.mark]));
    for (const [id, mark] of marks) show(this.tile(id), mark);
    const step = this.sending.then(() => this.send(marks));
    this.sending = step.catch(() => {});
    try {
      this.onCounts(await step);
      return true;
    } catch (error) {
      for (const [id, mark] of shown) show(this.tile(id), mark);
      toast(`Not kept: ${error.message}`);
      return false;
    }
  }

  async send(marks) {
    let counts = null;
    for (const [mark, ids] of batches(marks)) {
      const body = new URLSearchParams({ ...this.context, mark });
      for (const id of ids) body.append("image_ids", id);
      const answer = await fetch(this.url, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error((await reason(answer)) || `the studio answered ${answer.status}`);
      counts = await answer.json();
    }
    return counts;
  }

  tile(id) {
    return this.grid.querySelector(`[data-id="${id}"]`);
  }
}

/** Map(id -> mark) as [mark, ids] of at most 500 ids each: a form may not have more than 1,000 fields. */
function batches(marks) {
  const all = [];
  for (const mark of new Set(marks.values())) {
    const ids = [...marks.keys()].filter((id) => marks.get(id) === mark);
    for (let start = 0; start < ids.length; start += 500) all.push([mark, ids.slice(start, start + 500)]);
  }
  return all;
}

async function reason(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return "";
  }
}

/** Show `mark` on a tile: its class, its badge and the state of its two buttons. */
export function show(tile, mark) {
  if (!tile || !mark) return;
  tile.dataset.mark = mark;
  tile.querySelector("[data-badge]").textContent = mark === "none" ? "" : mark;
  for (const button of tile.querySelectorAll("[data-mark-button]")) {
    const on = button.dataset.markButton === mark;
    button.setAttribute("aria-pressed", String(on));
    button.value = `${on ? "none" : button.dataset.markButton}:${tile.dataset.id}`;
  }
}

let hideTimer = 0;

/** Say one thing at the foot of the page, with a way back where there is one. */
export function toast(text, undo) {
  const place = document.querySelector("[data-toast]");
  if (!place) return;
  clearTimeout(hideTimer);
  place.querySelector("[data-toast-text]").textContent = text;
  const button = place.querySelector("[data-toast-undo]");
  button.hidden = !undo;
  button.onclick = undo ? () => undo() : null;
  place.classList.add("is-shown");
  hideTimer = setTimeout(() => place.classList.remove("is-shown"), 8000);
}
