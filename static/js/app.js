// What every page has: menu, theme switch, dialogs, confirmations, times, buttons that copy.
const root = document.documentElement;
const THEMES = ["system", "light", "dark"];

function showTheme() {
  const name = root.dataset.theme ?? "system";
  for (const element of document.querySelectorAll("[data-theme-name]")) element.textContent = name;
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  try { localStorage.setItem("theme", next); } catch { /* private windows keep nothing */ }
  showTheme();
  root.dispatchEvent(new CustomEvent("themechange"));
}

function toggleMenu(button) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  document.getElementById("nav").classList.toggle("open", open);
}

async function copyText(button) {
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.value ?? source.textContent);
  const word = button.querySelector("span") ?? button;
  const before = word.textContent;
  word.textContent = "Copied";
  setTimeout(() => { word.textContent = before; }, 1500);
}

// The text is set as text, never as HTML.
export function say(text, kind = "good") {
  const line = document.createElement("div");
  line.className = `message message-${kind}`;
  line.textContent = text;
  document.getElementById("messages").replaceChildren(line);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, [data-open-dialog]");
  if (!target) return;
  if (target.matches("[data-theme-toggle]")) nextTheme();
  if (target.matches(".menu-button")) toggleMenu(target);
  if (target.matches("[data-close-dialog]")) target.closest("dialog").close();
  if (target.matches("[data-open-dialog]")) document.getElementById(target.dataset.openDialog).showModal();
  if (target.matches("[data-copy]")) copyText(target);
});

// A filter that is a <select data-submit> applies itself; without scripts its form has a button.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

// A second click must not ask for the work twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented || event.target.method !== "post" || event.target.hasAttribute("hx-post")) return;
  setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-busy]")) {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
});

showTheme();
