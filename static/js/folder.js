// A folder is announced first: paths, sizes and hashes of its files, part by part. Then only what the studio lacks is sent.
const PART_FILES = 1000;
const BATCH_FILES = 200;
const BATCH_BYTES = 32e6;
const HASHED_AT_ONCE = 8;
const HASHED_BYTES = 128e6; // in memory at once, unless one file alone is larger

export const canHash = Boolean(globalThis.crypto?.subtle); // browsers have it on https and on this machine only

export class Unreadable extends Error {}

const cannotRead = (path) => new Unreadable(`${path} cannot be read: it was changed or removed. Choose the folder again.`);

async function hash({ path, file }) {
  const content = await file.arrayBuffer().catch(() => { throw cannotRead(path); });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function hashed(files, signal) {
  const told = files.map(({ path, file }) => ({ path, size: file.size }));
  if (!canHash) return told;
  const waiting = new Set();
  let bytes = 0;
  for (const [place, each] of files.entries()) {
    while (waiting.size && (waiting.size >= HASHED_AT_ONCE || bytes + each.file.size > HASHED_BYTES)) await Promise.race(waiting);
    signal.throwIfAborted();
    bytes += each.file.size;
    const work = hash(each).then((sha256) => {
      told[place].sha256 = sha256;
      bytes -= each.file.size;
      waiting.delete(work);
    });
    waiting.add(work);
  }
  await Promise.all(waiting);
  return told;
}

// Tells all files by put(part, body), which gives the places of missing ones; returns those for each part of the list.
export async function announce(files, put, signal, show) {
  const missing = [];
  for (let start = 0; start < files.length; start += PART_FILES) {
    show(start);
    const told = await hashed(files.slice(start, start + PART_FILES), signal);
    missing.push(await put(missing.length, { total: files.length, files: told }));
  }
  return missing;
}

export function missingFiles(files, missing) {
  return missing.flatMap((places, part) => places.map((place) => files[PART_FILES * part + place]));
}

// Batches of missing files, each of one part of the list.
export function* batches(files, missing) {
  for (const [part, places] of missing.entries()) {
    let batch = [];
    let bytes = 0;
    for (const place of places) {
      const each = files[PART_FILES * part + place];
      if (batch.length && (batch.length >= BATCH_FILES || bytes + each.file.size > BATCH_BYTES)) {
        yield { part, batch, bytes };
        batch = [];
        bytes = 0;
      }
      batch.push(each);
      bytes += each.file.size;
    }
    if (batch.length) yield { part, batch, bytes };
  }
}

// A file that changed after it was chosen cannot be sent, and the browser does not say so: it only breaks the connection.
export async function checkReadable(batch) {
  for (const { path, file } of batch) await file.slice(0, 1).arrayBuffer().catch(() => { throw cannotRead(path); });
}
