/* The curves of several jobs over one another, one chart for each name. The table below has the same in numbers. */

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const DASHES = [[], [6, 3], [2, 2], [10, 3, 2, 3], [], [6, 3], [2, 2], [10, 3, 2, 3]];
const HEIGHT = 240;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A custom property may hold light-dark(): only a drawn element says which one holds. */
function drawnColour(place, number) {
  const probe = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  probe.setAttribute("class", `series series-${number}`);
  place.append(probe);
  const drawn = getComputedStyle(probe).stroke;
  probe.remove();
  return drawn || colour("--ink");
}

function options(place, curve, jobs, width) {
  const ink = getComputedStyle(place).color;
  const line = getComputedStyle(place).borderTopColor;
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  return {
    title: curve.name,
    width,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [{ ...axis, label: "step" }, { ...axis, size: 64 }],
    series: [
      { label: "step" },
      ...jobs.map((job, index) => ({
        label: `job ${job.id}`,
        stroke: drawnColour(place, index),
        dash: DASHES[index],
        width: 1.5,
        spanGaps: true,
        value: (plot, value) => (value === null || value === undefined ? "–" : value.toPrecision(4)),
      })),
    ],
  };
}

async function draw(place) {
  const answer = await fetch(place.dataset.compare);
  if (!answer.ok) return;
  const { curves, jobs } = await answer.json();
  const charts = [];
  const redraw = () => {
    for (const chart of charts.splice(0)) chart.destroy();
    for (const curve of curves) {
      const width = Math.max(280, Math.floor(place.clientWidth / (place.clientWidth > 900 ? 2 : 1)) - 16);
      charts.push(new uPlot(options(place, curve, jobs, width), [curve.steps, ...curve.series], place));
    }
  };
  redraw();
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    redraw();
  }).observe(place);
  document.documentElement.addEventListener("themechange", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

for (const place of document.querySelectorAll("[data-compare]")) draw(place);
