/* A grid of images worked by mouse, touch or keyboard: move, select, star, reject, undo.
 *
 * Only one tile of the grid is in the tab order (roving tabindex); arrows move between tiles. Without this
 * script the grid is still a form whose checkboxes and buttons work.
 */

import { openLightbox } from "./lightbox.js";
import { Marks } from "./marks.js";

const KEYS = { s: "starred", x: "rejected" };

class Gallery {
  constructor(form) {
    this.form = form;
    this.grid = form.querySelector("[data-grid]");
    this.anchor = null; // where a range selection began
    this.slide = null; // the tile that the lightbox shows
    this.marks = form.dataset.marksUrl
      ? new Marks({
          grid: this.grid,
          url: form.dataset.marksUrl,
          context: { label: form.elements.label.value },
          onCounts: (counts) => this.showCounts(counts),
        })
      : null;
    this.listen();
    this.makeRoving();
    this.showSelection();
  }

  listen() {
    this.form.addEventListener("click", (event) => this.onClick(event));
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.form.addEventListener("change", (event) => this.onChange(event));
    this.grid.addEventListener("focusin", (event) => this.rove(event.target.closest("[data-id]")));
    document.addEventListener("keydown", (event) => this.onKey(event));
    new MutationObserver(() => this.makeRoving()).observe(this.grid, { childList: true });
  }

  get tiles() {
    return [...this.grid.querySelectorAll("[data-id]")];
  }

  get selected() {
    return this.tiles.filter((tile) => box(tile)?.checked);
  }

  /** What a key acts on: the image in the lightbox, else the selection, else the focused tile. */
  get targets() {
    if (this.slide) return [this.slide];
    if (this.selected.length) return this.selected;
    const focused = document.activeElement?.closest("[data-id]");
    return focused && this.grid.contains(focused) ? [focused] : [];
  }

  onClick(event) {
    const link = event.target.closest("[data-open]");
    if (link) return this.onOpen(event, link);
    const checkbox = event.target.closest("input[name=image_ids]");
    if (checkbox) this.onCheckbox(event, checkbox);
    if (event.target.closest("[data-select-all]")) this.select(this.tiles, true);
    if (event.target.closest("[data-select-none]")) this.select(this.tiles, false);
  }

  onOpen(event, link) {
    if (event.ctrlKey || event.metaKey) return; // a new tab, as everywhere
    event.preventDefault();
    const tile = link.closest("[data-id]");
    if (event.shiftKey) return this.selectTo(tile, true);
    openLightbox(this.tiles, this.tiles.indexOf(tile), (shown) => this.onSlide(shown), {
      mark: this.marks ? (name) => this.marks.toggle([this.slide], name) : null,
    });
  }

  onSlide(tile) {
    const last = this.slide;
    this.slide = tile;
    if (!tile && last) last.querySelector("[data-open]").focus();
  }

  onCheckbox(event, checkbox) {
    const tile = checkbox.closest("[data-id]");
    if (event.shiftKey && this.anchor) this.selectTo(tile, checkbox.checked);
    else this.anchor = tile;
    this.showSelection();
  }

  onSubmit(event) {
    const button = event.submitter;
    if (!this.marks || !button || !["one", "mark"].includes(button.name)) return;
    event.preventDefault();
    if (button.name === "mark") return this.marks.set(this.selected, button.value);
    this.marks.toggle([button.closest("[data-id]")], button.dataset.markButton);
  }

  onChange(event) {
    if (event.target.matches("[data-smooth]")) this.grid.classList.toggle("is-smooth", event.target.checked);
  }

  onKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (this.marks && KEYS[event.key] && this.targets.length) {
      event.preventDefault();
      return this.marks.toggle(this.targets, KEYS[event.key]);
    }
    if (this.marks && event.key === "z") return this.marks.undo();
    const tile = event.target.closest?.("[data-id]");
    if (!tile || !this.grid.contains(tile) || this.slide) return;
    this.onGridKey(event, tile);
  }

  onGridKey(event, tile) {
    const next = this.neighbour(tile, event.key);
    if (next) {
      event.preventDefault();
      if (event.shiftKey) this.selectTo(next, true, tile);
      next.querySelector("[data-open]").focus();
    } else if (event.key === " " && event.target.matches("[data-open]") && box(tile)) {
      event.preventDefault();
      if (event.shiftKey && this.anchor) return this.selectTo(tile, true);
      box(tile).checked = !box(tile).checked;
      this.anchor = tile;
      this.showSelection();
    } else if (event.key === "Escape") {
      this.select(this.tiles, false);
    }
  }

  /** The tile that an arrow key leads to, by where the tiles stand on the screen. */
  neighbour(tile, key) {
    const tiles = this.tiles;
    const index = tiles.indexOf(tile);
    const columns = tiles.filter((other) => other.offsetTop === tiles[0].offsetTop).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    if (step) return tiles[index + step] ?? null;
    return { Home: tiles[0], End: tiles.at(-1) }[key] ?? null;
  }

  selectTo(tile, checked, from) {
    this.anchor ??= from ?? tile;
    const tiles = this.tiles;
    const [low, high] = [tiles.indexOf(this.anchor), tiles.indexOf(tile)].sort((a, b) => a - b);
    this.select(tiles.slice(low, high + 1), checked);
  }

  select(tiles, checked) {
    for (const tile of tiles) if (box(tile)) box(tile).checked = checked;
    if (!checked) this.anchor = null;
    this.showSelection();
  }

  showSelection() {
    for (const tile of this.tiles) tile.classList.toggle("is-selected", Boolean(box(tile)?.checked));
    const count = this.selected.length;
    for (const text of this.form.querySelectorAll("[data-selected]")) {
      text.textContent = count ? `${count} selected` : "None selected";
    }
    for (const button of this.form.querySelectorAll("[data-needs-selection]")) button.disabled = !count;
  }

  showCounts(counts) {
    for (const place of document.querySelectorAll("[data-count]")) {
      place.textContent = counts[place.dataset.count] ?? place.textContent;
    }
  }

  makeRoving() {
    this.rove(this.grid.querySelector("[data-current]") ?? this.tiles[0]);
    this.showSelection();
  }

  rove(current) {
    if (!current) return;
    for (const tile of this.tiles) {
      tile.toggleAttribute("data-current", tile === current);
      for (const control of tile.querySelectorAll("a, button, input")) control.tabIndex = tile === current ? 0 : -1;
    }
  }
}

function box(tile) {
  return tile.querySelector("input[name=image_ids]");
}

function typing(target) {
  return Boolean(target.closest?.("input:not([type=checkbox], [type=range], [type=radio]), textarea, select, dialog"));
}

for (const form of document.querySelectorAll("[data-gallery]")) new Gallery(form);
