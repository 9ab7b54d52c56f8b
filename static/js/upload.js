// Sends what is missing of a folder, or an archive in pieces that go on where a dropped connection left off.
import { Unreadable, announce, batches, canHash, checkReadable, missingFiles } from "./folder.js";

const PIECE_BYTES = 16 * 2 ** 20;
const TRIES = 8;
const API = "/api/v1/uploads";
const ARCHIVE = /\.(zip|tar|tar\.gz|tgz|npz)$/i;

const form = document.getElementById("upload");
const area = document.getElementById("drop-area");
const folderInput = document.getElementById("folder-input");
const archiveInput = document.getElementById("archive-input");
const panel = document.getElementById("upload-progress");
const word = document.getElementById("upload-word");
const bar = document.getElementById("upload-bar");
const detail = document.getElementById("upload-detail");
const note = document.getElementById("upload-note");
let abort = null;
let uploadId = null;

// ---- what was chosen
async function filesOfEntry(entry, prefix, found) {
  if (entry.isFile) {
    found.push({ path: prefix + entry.name, file: await new Promise((done, fail) => entry.file(done, fail)) });
    return;
  }
  const reader = entry.createReader(); // gives at most 100 entries at a time
  for (;;) {
    const entries = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!entries.length) return;
    for (const each of entries) await filesOfEntry(each, `${prefix}${entry.name}/`, found);
    say(`Reading the folder: ${found.length} files …`);
  }
}

async function onDrop(event) {
  event.preventDefault();
  area.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const archive = event.dataTransfer.files.length === 1 && entries[0]?.isFile && ARCHIVE.test(entries[0].name);
  if (archive) return run(() => sendArchive(event.dataTransfer.files[0]));
  if (!entries.length) return;
  return run(async () => {
    const found = [];
    say("Reading the folder …");
    for (const entry of entries) await filesOfEntry(entry, "", found);
    await sendFolder(entries.length === 1 ? entries[0].name : "dropped files", found);
  });
}

// ---- requests
class Refused extends Error {}

async function ask(url, options) {
  const response = await fetch(url, { ...options, signal: abort.signal });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const text = [problem.detail ?? `The studio answered ${response.status}.`, problem.hint].filter(Boolean).join(" ");
  throw response.status >= 500 && response.status !== 507 ? new Error(text) : new Refused(text);
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// A connection may drop and a server may restart: try again, each time a little later.
async function patiently(attempt) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt(tries);
    } catch (error) {
      if (error instanceof Refused || error instanceof Unreadable || error.name === "AbortError") throw error;
      if (tries >= TRIES) throw new Error("The connection was lost. Choose the same folder or archive again: only what is missing is sent.");
      detail.textContent = `The connection was lost; trying again (${tries} of ${TRIES - 1}) …`;
      await wait(Math.min(500 * 2 ** tries, 15000));
    }
  }
}

async function start(kind, name) {
  const response = await patiently(() =>
    ask(API, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ kind, name: name.slice(0, 300) }) }));
  return (await response.json()).id;
}

// ---- folders
async function sendFolder(name, files) {
  const totalBytes = files.reduce((sum, { file }) => sum + file.size, 0);
  if (!files.length) throw new Refused("There is no file in this folder. Choose the folder that holds the class folders.");
  if (files.length > Number(form.dataset.maxFiles)) throw new Refused(`The folder has ${files.length} files; at most ${form.dataset.maxFiles} are taken at once.`);
  checkSize(totalBytes);
  uploadId = await start("folder", name);
  note.hidden = canHash;
  const missing = await announce(files, putPart, abort.signal, (done) => {
    say(`Looking at what is already there: ${done} of ${files.length} files`);
    bar.max = files.length;
    bar.value = done;
    detail.textContent = "";
  });
  await sendMissing(files, missing);
}

async function putPart(part, body) {
  const options = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await patiently(() => ask(`${API}/${uploadId}/list/${part}`, options));
  return (await response.json()).missing;
}

async function sendMissing(files, missing) {
  const left = missingFiles(files, missing);
  const there = files.length - left.length;
  const progress = new Progress(left.length, "files", left.reduce((sum, { file }) => sum + file.size, 0), there);
  for (const { part, batch, bytes } of batches(files, missing)) {
    await patiently(async (tries) => {
      if (tries > 1) await checkReadable(batch);
      const body = new FormData();
      for (const { path, file } of batch) body.append("files", file, path);
      return ask(`${API}/${uploadId}/files?part=${part}`, { method: "POST", body });
    });
    progress.add(batch.length, bytes);
  }
}

// ---- archives
const memory = (file) => `upload:${file.name}:${file.size}:${file.lastModified}`;
const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const remember = (key, value) => { try { value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value); } catch { /* private windows */ } };

async function offsetOf(id) {
  const response = await ask(`${API}/${id}/content`, { method: "HEAD" });
  return Number(response.headers.get("Upload-Offset"));
}

async function sendArchive(file) {
  checkSize(file.size);
  const key = memory(file);
  let offset = 0;
  uploadId = recall(key);
  if (uploadId) {
    try { offset = await patiently(() => offsetOf(uploadId)); } catch (error) { if (!(error instanceof Refused)) throw error; uploadId = null; }
  }
  uploadId ??= await start("archive", file.name);
  remember(key, uploadId);
  const progress = new Progress(file.size, "bytes", file.size);
  progress.add(offset, offset, true);
  while (offset < file.size) {
    const reached = await patiently(async (tries) => {
      if (tries > 1) offset = await offsetOf(uploadId);
      if (offset >= file.size) return offset;
      const response = await ask(`${API}/${uploadId}/content`, {
        method: "PATCH",
        headers: { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) },
        body: file.slice(offset, offset + PIECE_BYTES),
      });
      return Number(response.headers.get("Upload-Offset"));
    });
    progress.set(reached);
    offset = reached;
  }
  remember(key, null);
}

function checkSize(bytes) {
  const most = Number(form.dataset.maxBytes);
  if (bytes > most) throw new Refused(`This is ${size(bytes)}; at most ${size(most)} are taken. Raise PHANTOM_MAX_UPLOAD_GB, or send less.`);
}

// ---- what is shown
const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e3)} kB`);
const lasting = (s) => (s < 90 ? `${Math.max(1, Math.round(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

class Progress {
  constructor(total, unit, totalBytes, there = 0) {
    Object.assign(this, { total, unit, totalBytes, there, done: 0, bytes: 0, before: 0, since: performance.now() });
    this.show();
  }

  add(done, bytes, isOld = false) {
    this.done += done;
    this.bytes += bytes;
    if (isOld) this.before = bytes;
    this.show();
  }

  set(bytes) {
    this.done = bytes;
    this.bytes = bytes;
    this.show();
  }

  show() {
    const seconds = (performance.now() - this.since) / 1000;
    const perSecond = (this.bytes - this.before) / Math.max(seconds, 0.001);
    const left = perSecond > 0 ? (this.totalBytes - this.bytes) / perSecond : null;
    bar.max = this.totalBytes || 1;
    bar.value = this.bytes;
    const there = this.there ? `; ${this.there} ${this.there === 1 ? "was" : "were"} already there` : "";
    say(this.unit === "files" ? `Sending ${this.done} of ${this.total} files${there}` : `Sending ${size(this.bytes)} of ${size(this.totalBytes)}`);
    detail.textContent = left === null || seconds < 0.5 ? "" : [
      this.unit === "files" ? `${Math.round(this.done / seconds)} files/s` : null,
      `${size(perSecond)}/s`,
      this.bytes < this.totalBytes ? `${lasting(left * 0.85)} to ${lasting(left * 1.35)} left` : null,
    ].filter(Boolean).join(", ");
  }
}

function say(text) {
  word.textContent = text;
}

function fail(text) {
  panel.hidden = true;
  area.hidden = false;
  const line = document.createElement("div");
  line.className = "message message-bad";
  line.textContent = text;
  document.getElementById("messages").replaceChildren(line);
}

const leaving = (event) => event.preventDefault();

async function run(send) {
  if (abort) return;
  abort = new AbortController();
  document.getElementById("messages").replaceChildren();
  area.hidden = true;
  panel.hidden = false;
  addEventListener("beforeunload", leaving);
  try {
    await send();
    say("Looking at what arrived …");
    bar.removeAttribute("value");
    removeEventListener("beforeunload", leaving);
    location.assign(`/datasets/new/${uploadId}${form.dataset.query}`);
  } catch (error) {
    removeEventListener("beforeunload", leaving);
    if (error.name !== "AbortError") fail(error.message);
    abort = null;
  }
}

async function cancel() {
  abort?.abort();
  if (uploadId) await fetch(`${API}/${uploadId}`, { method: "DELETE" });
  uploadId = null;
  abort = null;
  fail("The upload was cancelled; nothing of it was kept.");
}

area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
area.addEventListener("dragleave", () => area.classList.remove("over"));
area.addEventListener("drop", onDrop);
document.getElementById("pick-folder").addEventListener("click", () => folderInput.click());
document.getElementById("pick-archive").addEventListener("click", () => archiveInput.click());
document.getElementById("upload-cancel").addEventListener("click", cancel);
folderInput.addEventListener("change", () => {
  const files = [...folderInput.files].map((file) => ({ path: file.webkitRelativePath, file }));
  if (files.length) run(() => sendFolder(files[0].path.split("/")[0], files));
});
archiveInput.addEventListener("change", () => { if (archiveInput.files[0]) run(() => sendArchive(archiveInput.files[0])); });
