// A job's page while it runs: log lines, previews, the clock and the tab's title. The status itself is swapped in by htmx.
import { duration, durationRange } from "./clock.js";

const job = document.getElementById("job");
const MAX_LINES = 400;

// ---- title: "(43 %) name" while it runs
function showTitle() {
  const figures = job.querySelector(".readings");
  const share = figures?.dataset.fraction;
  document.title = `${share ? `(${share}) ` : ""}${job.dataset.title} · Phantom Studio`;
}

// ---- clock: goes on between two statuses. Only the server's clock counts: each status says what time it is there, and
// the browser adds what has passed since. The status that came fastest is nearest to the truth, so time never runs back.
let ahead = -Infinity; // ms, the server's clock before performance.now()
let nextTick;

function tick() {
  const readings = job.querySelector(".readings[data-now]");
  clearTimeout(nextTick);
  if (!readings) return; // it does not run now; a status that says it does will begin again
  const told = Date.parse(readings.dataset.now);
  ahead = Math.max(ahead, told - performance.now());
  const now = performance.now() + ahead;
  const running = readings.querySelector("time[data-running]");
  const left = readings.querySelector("[data-low]");
  const passed = now - Date.parse(running.dateTime);
  running.textContent = duration(passed / 1000);
  if (left) {
    const [low, high] = [left.dataset.low, left.dataset.high].map((seconds) => Number(seconds) - (now - told) / 1000);
    left.textContent = high > 0 ? durationRange(Math.max(low, 0), high) : "any moment now";
  }
  nextTick = setTimeout(tick, 1001 - (passed % 1000)); // just after the next whole second
}

// ---- log: appended at the end; stays at the end unless somebody scrolled up
const log = document.getElementById("log");
const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;

function addLine({ at, level, text }) {
  const stay = atEnd();
  log.querySelector(".log-none")?.remove();
  const line = document.createElement("p");
  const time = document.createElement("time");
  const words = document.createElement("span");
  line.className = `log-${level}`;
  time.textContent = at;
  words.textContent = text;
  line.append(time, words);
  log.append(line);
  while (log.children.length > MAX_LINES) log.firstElementChild.remove();
  if (stay) log.scrollTop = log.scrollHeight;
}

// ---- previews: one slider over all steps. Once touched, it never moves by itself.
const section = document.getElementById("previews");
const slider = document.getElementById("preview-step");
const latest = document.getElementById("preview-latest");
const previews = section ? JSON.parse(document.getElementById("preview-data").textContent) : [];
let touched = false;

function showPreview(position) {
  const preview = previews[position];
  if (!preview) return;
  const image = document.getElementById("preview-image");
  const url = `/files/${preview.sha256}.png`;
  section.hidden = false;
  slider.value = position;
  image.src = url;
  image.alt = `Samples of each class at step ${preview.index}`;
  document.getElementById("preview-link").href = url;
  document.getElementById("preview-word").textContent = `step ${preview.index}`;
  slider.setAttribute("aria-valuetext", `step ${preview.index}`);
  const names = (preview.data?.classes ?? []).map((name) => Object.assign(document.createElement("li"), { textContent: name, title: name }));
  document.getElementById("preview-classes").replaceChildren(...names);
  const next = previews[position + 1];
  if (next) new Image().src = `/files/${next.sha256}.png`;
}

function choose(position) {
  touched = true;
  showPreview(Math.min(Math.max(position, 0), previews.length - 1));
  latest.hidden = Number(slider.value) === previews.length - 1;
}

function addPreview({ index, sha256, data }) {
  const known = previews.findIndex((each) => each.index === index);
  if (known >= 0) previews[known] = { index, sha256, data };
  else previews.push({ index, sha256, data });
  slider.max = previews.length - 1;
  if (!touched) showPreview(previews.length - 1);
  else latest.hidden = Number(slider.value) === previews.length - 1;
}

if (section) {
  slider.addEventListener("input", () => choose(Number(slider.value)));
  document.getElementById("preview-before").addEventListener("click", () => choose(Number(slider.value) - 1));
  document.getElementById("preview-after").addEventListener("click", () => choose(Number(slider.value) + 1));
  latest.addEventListener("click", () => { choose(previews.length - 1); touched = false; });
  document.addEventListener("studio:step", (event) => choose(Number(slider.value) + event.detail));
}

// ---- the stream
const told = (event) => JSON.parse(event.detail.data);
job.addEventListener("job:log", (event) => addLine(told(event)));
job.addEventListener("job:state", (event) => { const { at, message } = told(event); addLine({ at, level: "state", text: message }); });
job.addEventListener("job:preview", (event) => { if (section) addPreview(told(event)); });
job.addEventListener("htmx:sse:after:message", () => { showTitle(); tick(); });
// Not while a person is already on the way to another page: a reload would take them back.
let leaving = false;
addEventListener("beforeunload", () => { leaving = true; });
job.addEventListener("job:finished", () => setTimeout(() => { if (!leaving) location.reload(); }, 300));

log.scrollTop = log.scrollHeight;
if (previews.length) showPreview(previews.length - 1);
showTitle();
tick();
