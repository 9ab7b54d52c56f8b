// The curves of a job, drawn by uPlot: one chart for losses, one for shares between 0 and 1, one for each other unit.
import uPlot from "../vendor/uplot/uPlot.esm.js";

const place = document.getElementById("chart");
const job = document.getElementById("job");
const logSwitch = document.getElementById("log-scale");
const curves = new Map(Object.entries(place ? JSON.parse(document.getElementById("chart-data").textContent) : {}));
const HEIGHT = 220;
const MINOR_HEIGHT = 130; // of rates and norms, which stand small below
const MAX_POINTS = 2000;
const SMOOTH_FROM = 200; // points
const COLOURS = { light: ["#0a6472", "#a04a00", "#5b4a9e", "#3d6b1f", "#8a1f5c"], dark: ["#6cc7d3", "#f0a860", "#b9a9f2", "#a3d17c", "#ee8fc2"] };
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3], [4, 2]];
const charts = new Map(); // group -> { names, plot }

const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const NAMES = { lr: "learning rate", images_per_s: "images per second", grad_norm: "gradient norm", shares: "on validation images", copies: "copies among images drawn", copy_rate: "of those drawn", copy_floor: "of unseen real images" };
const words = (name) => NAMES[name] ?? name.replaceAll("_", " ");
const isShare = (group) => group === "shares" || group === "copies";
const isMinor = (group) => group !== "loss" && !isShare(group);

function groupOf(name) {
  if (/loss/.test(name)) return "loss";
  if (/accuracy|recall|precision|auroc|f1/.test(name)) return "shares";
  return name.startsWith("copy_") ? "copies" : name;
}

// Colours are tokens; a canvas needs them resolved.
function token(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// A noisy loss is drawn faintly, with its running mean on top.
function smooth(values) {
  const weight = 1 - Math.min(0.5, 60 / values.length);
  let mean = null;
  return values.map((value) => (value === null ? null : (mean = mean === null ? value : mean * weight + value * (1 - weight))));
}

function columns(names) {
  const steps = [...new Set(names.flatMap((name) => curves.get(name).map(([step]) => step)))].sort((a, b) => a - b);
  const known = names.map((name) => new Map(curves.get(name)));
  const values = known.map((points) => steps.map((step) => points.get(step) ?? null));
  return [steps, ...values.flatMap((column) => (isNoisy(names) ? [column, smooth(column)] : [column]))];
}

const isNoisy = (names) => groupOf(names[0]) === "loss" && names.length === 1 && curves.get(names[0]).length > SMOOTH_FROM;
const short = (number) => (number === null || number === undefined ? "–" : Number(number.toPrecision(4)).toString());

function series(names) {
  const palette = COLOURS[isDark() ? "dark" : "light"];
  const line = (name, i, more) => ({ label: words(name), stroke: palette[i % 5], dash: DASHES[i % 5], width: 1.75, spanGaps: true, value: (_, n) => short(n), ...more });
  if (isNoisy(names)) {
    return [line(names[0], 0, { stroke: `${palette[0]}66`, width: 1, points: { show: false } }), line(`${names[0]}, running mean`, 0, { points: { show: false } })];
  }
  return names.map((name, i) => line(name, i, { points: { show: curves.get(name).length < 40 } }));
}

function options(group, names, width) {
  const ink = token("--ink-soft");
  const grid = { stroke: token("--line"), width: 1 };
  const range = isShare(group) ? { range: [0, 1] } : { distr: group === "loss" && logSwitch.checked ? 3 : 1 };
  return {
    width,
    height: isMinor(group) ? MINOR_HEIGHT : HEIGHT,
    legend: { show: !isMinor(group) },
    scales: { x: { time: false }, y: range },
    axes: [
      { stroke: ink, grid, ticks: grid, values: (_, ticks) => ticks.map(short) },
      { stroke: ink, grid, ticks: grid, size: 64, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick))) },
    ],
    series: [{ label: "step", value: (_, step) => (step === null ? "–" : String(step)) }, ...series(names)],
  };
}

function drawGroup(group, names) {
  const data = columns(names);
  const old = charts.get(group);
  const shape = `${names.join()} ${data.length}`;
  if (old?.shape === shape) { old.plot.setData(data); return; }
  old?.plot.destroy();
  const figure = document.createElement("figure");
  figure.append(Object.assign(document.createElement("figcaption"), { textContent: words(group) }));
  figure.classList.toggle("minor", isMinor(group));
  if (old) old.figure.replaceWith(figure);
  else place.append(figure);
  charts.set(group, { shape, figure, plot: new uPlot(options(group, names, figure.clientWidth), data, figure) });
}

function draw() {
  const groups = new Map();
  for (const [name, points] of curves) if (points.length) groups.set(groupOf(name), [...(groups.get(groupOf(name)) ?? []), name]);
  if (groups.size) place.querySelector(":scope > .note")?.remove();
  const order = ["loss", "shares", "copies"];
  const sorted = [...groups].sort(([a], [b]) => (order.indexOf(a) + 1 || 9) - (order.indexOf(b) + 1 || 9));
  for (const [group, names] of sorted) drawGroup(group, names);
}

function redraw() {
  for (const { plot, figure } of charts.values()) { plot.destroy(); figure.remove(); }
  charts.clear();
  draw();
  reload(); // the page itself brings a thinned start
}

async function reload() {
  const response = await fetch(`/jobs/${place.dataset.job}/curves`);
  if (!response.ok) return;
  for (const [name, points] of Object.entries(await response.json())) curves.set(name, points);
  draw();
  reload(); // the page itself brings a thinned start
}

let frame = 0;
function add(news) {
  let longest = 0;
  for (const [name, points] of Object.entries(news)) {
    const known = curves.get(name) ?? [];
    const last = known.length ? known[known.length - 1][0] : -1;
    known.push(...points.filter(([step]) => step > last));
    curves.set(name, known);
    longest = Math.max(longest, known.length);
  }
  if (longest > MAX_POINTS) reload(); // the server thins
  else { cancelAnimationFrame(frame); frame = requestAnimationFrame(draw); }
}

if (place) {
  job.addEventListener("job:points", (event) => add(JSON.parse(event.detail.data)));
  job.addEventListener("htmx:sse:after:connection", reload); // points that came while nobody listened
  logSwitch.addEventListener("change", redraw);
  document.documentElement.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => { for (const { plot, figure } of charts.values()) plot.setSize({ width: figure.clientWidth, height: plot.height }); }).observe(place);
  draw();
  reload(); // the page itself brings a thinned start
}
