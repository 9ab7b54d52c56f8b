/* The LIME overlay: which regions of an image speak for a class and which against it.
 *
 * The server sends the segment of each pixel and the weight of each segment for every class; everything
 * that the controls change is drawn here, so a slider answers at once. For: solid blue. Against: hatched
 * orange, so that colour is never the only difference. Settings a person touched stay for the next image.
 */

const FOR = [37, 99, 235];
const AGAINST = [234, 120, 12];
const KEPT = "lime-settings";
const HATCH = 6; // pixels of the drawn canvas between stripes

class Overlay {
  constructor(root, item) {
    this.root = root;
    this.item = item;
    this.canvas = root.querySelector("canvas");
    this.picture = root.querySelector("[data-lime-picture]");
    this.segments = unpack(item.runs, item.width * item.height);
    this.pointed = null; // the region under the pointer or of the focused table row
    this.restore();
    this.size();
    this.listen();
    this.update();
  }

  control(name) {
    return this.root.querySelector(`[data-lime="${name}"]`);
  }

  /** Give the canvas whole pixels: each pixel of the picture becomes a square of them. */
  size() {
    this.scale = Math.max(1, Math.floor(768 / Math.max(this.item.width, this.item.height)));
    this.canvas.width = this.item.width * this.scale;
    this.canvas.height = this.item.height * this.scale;
  }

  listen() {
    this.root.addEventListener("input", (event) => {
      this.keep(event.target);
      this.update();
    });
    this.canvas.addEventListener("pointermove", (event) => this.point(this.segmentAt(event)));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    const rows = this.root.querySelector("[data-lime-rows]");
    for (const kind of ["pointerover", "focusin"]) {
      rows.addEventListener(kind, (event) => this.point(rowSegment(event)));
    }
    for (const kind of ["pointerleave", "focusout"]) rows.addEventListener(kind, () => this.point(null));
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=text], textarea, select")) return;
    if (event.key === "o") {
      const shown = this.control("shown");
      shown.checked = !shown.checked;
      this.keep(shown);
      this.update();
    }
    const way = { "[": "previous", "]": "next" }[event.key];
    if (way) this.root.ownerDocument.querySelector(`[data-lime-step="${way}"]`)?.click();
  }

  restore() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    for (const [name, value] of Object.entries(kept)) {
      const control = this.control(name);
      if (!control || name === "class") continue;
      if (control.type === "checkbox") control.checked = value;
      else control.value = value;
    }
  }

  keep(control) {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    kept[control.dataset.lime] = control.type === "checkbox" ? control.checked : control.value;
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
  }

  get shownClass() {
    const label = Number(this.control("class").value);
    return this.item.classes.find((entry) => entry.label === label);
  }

  /** The regions to draw: the top k by absolute weight among the signs that are switched on. */
  get chosen() {
    const positive = this.control("positive").checked;
    const negative = this.control("negative").checked;
    return this.shownClass.weights
      .filter(([, weight]) => (weight > 0 && positive) || (weight < 0 && negative))
      .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
      .slice(0, Number(this.control("top")?.value));
  }

  update() {
    for (const name of ["top", "opacity"]) {
      const control = this.control(name);
      this.root.querySelector(`[data-lime-output="${name}"]`).textContent =
        name === "opacity" ? `${control.value} %` : control.value;
    }
    this.draw();
    this.tabulate();
    this.describe();
  }

  point(segment) {
    if (segment === this.pointed) return;
    this.pointed = segment;
    this.draw();
    for (const row of this.root.querySelectorAll("[data-segment]")) {
      row.classList.toggle("is-pointed", Number(row.dataset.segment) === segment);
    }
  }

  segmentAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.item.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.item.height);
    return this.segments[y * this.item.width + x] ?? null;
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture, 0, 0, width, height);
    if (!this.control("shown").checked) return;
    const layer = new ImageData(width, height);
    this.paint(layer);
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(layer, 0, 0);
    context.drawImage(canvas, 0, 0);
  }

  paint(layer) {
    const weights = new Map(this.chosen);
    const strongest = Math.max(...[...weights.values()].map(Math.abs), 1e-12);
    const opacity = Number(this.control("opacity").value) / 100;
    const { width, height } = layer;
    const pixels = new Uint32Array(layer.data.buffer);
    for (let y = 0; y < height; y++) {
      const row = Math.floor(y / this.scale) * this.item.width;
      for (let x = 0; x < width; x++) {
        const segment = this.segments[row + Math.floor(x / this.scale)];
        const weight = weights.get(segment);
        const edge = this.isEdge(x, y, segment);
        if (edge && segment === this.pointed) pixels[y * width + x] = packed([255, 255, 255], 1);
        else if (weight !== undefined) {
          const colour = weight > 0 ? FOR : AGAINST;
          const stripe = weight > 0 || (x + y) % (2 * HATCH) < HATCH ? 1 : 0.35;
          const strength = (0.35 + 0.65 * (Math.abs(weight) / strongest)) * stripe;
          pixels[y * width + x] = packed(colour, edge ? 1 : opacity * strength);
        }
      }
    }
  }

  /** Whether the drawn pixel touches another segment: the outline of its region. */
  isEdge(x, y, segment) {
    const reach = 2;
    for (const [dx, dy] of [[reach, 0], [-reach, 0], [0, reach], [0, -reach]]) {
      const column = Math.floor((x + dx) / this.scale);
      const row = Math.floor((y + dy) / this.scale);
      if (column < 0 || row < 0 || column >= this.item.width || row >= this.item.height) return true;
      if (this.segments[row * this.item.width + column] !== segment) return true;
    }
    return false;
  }

  tabulate() {
    const chosen = new Set(this.chosen.map(([segment]) => segment));
    const sorted = [...this.shownClass.weights].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const body = this.root.querySelector("[data-lime-rows]");
    body.replaceChildren(...sorted.map(([segment, weight], index) => this.row(segment, weight, index, chosen)));
  }

  row(segment, weight, index, chosen) {
    const row = document.createElement("tr");
    row.dataset.segment = segment;
    row.tabIndex = 0;
    row.classList.toggle("is-chosen", chosen.has(segment));
    const region = this.item.regions[segment] ?? {};
    const texts = [
      String(index + 1),
      weight > 0 ? "for" : weight < 0 ? "against" : "neither",
      weight.toFixed(3) + this.deviation(segment),
      region.share === undefined ? "" : `${(100 * region.share).toFixed(1)} %`,
      region.place ?? "",
      chosen.has(segment) ? "shown" : "",
    ];
    row.append(...texts.map(cell));
    row.children[1].className = weight > 0 ? "lime-for" : weight < 0 ? "lime-against" : "";
    return row;
  }

  /** How far the weight of a segment deviates over the seeds, where that was measured for the class shown. */
  deviation(segment) {
    const { deviations } = this.shownClass;
    return deviations ? ` ± ${deviations[segment].toFixed(3)}` : "";
  }

  describe() {
    const { name, score } = this.shownClass;
    const chosen = this.chosen;
    const pro = chosen.filter(([, weight]) => weight > 0).length;
    const shown = this.control("shown").checked ? "" : " The overlay is off.";
    const fit = score === null || score === undefined ? "" : ` The linear model explains ${(100 * score).toFixed(0)} % of the variance (R²).`;
    this.root.querySelector("[data-lime-summary]").textContent =
      `${pro} region${pro === 1 ? "" : "s"} for “${name}” and ${chosen.length - pro} against it are drawn.${fit}${shown}`;
  }
}

function cell(text) {
  const element = document.createElement("td");
  element.textContent = text;
  return element;
}

function rowSegment(event) {
  const row = event.target.closest("[data-segment]");
  return row ? Number(row.dataset.segment) : null;
}

function packed([red, green, blue], alpha) {
  return (Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red; // little endian RGBA
}

/** [segment, length, segment, length, ...] -> the segment of each pixel, row by row. */
function unpack(runs, size) {
  const segments = new Uint16Array(size);
  let at = 0;
  for (let i = 0; i < runs.length; i += 2) {
    segments.fill(runs[i], at, at + runs[i + 1]);
    at += runs[i + 1];
  }
  return segments;
}

async function start(root) {
  const picture = root.querySelector("[data-lime-picture]");
  const [answer] = await Promise.all([fetch(root.dataset.src), picture.decode()]);
  if (!answer.ok) {
    root.querySelector("[data-lime-summary]").textContent = `The regions could not be loaded (${answer.status}). Reload the page.`;
    return;
  }
  new Overlay(root, await answer.json());
  root.classList.add("is-ready");
}

for (const root of document.querySelectorAll("[data-lime-root]")) start(root);
