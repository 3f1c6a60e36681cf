// What every page does beside what the server sent: times in the reader's zone, copying, the theme, keys, live updates.
// Every page works without it; then it shows UTC, and is as old as its last load.

const html = document.documentElement;
const base = document.querySelector('meta[name="kurir-base"]')?.content ?? "";

// --- times -------------------------------------------------------------------------------------------------------------

// The reader's own variety of the page's language, and 24 hours as in everything that the API and the logs say.
const spoken = navigator.languages?.find((one) => one.split("-")[0] === html.lang.split("-")[0]) ?? html.lang;
const dateTime = new Intl.DateTimeFormat(spoken, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const timeOnly = new Intl.DateTimeFormat(spoken, { timeStyle: "medium", hourCycle: "h23" });
const relative = new Intl.RelativeTimeFormat(spoken, { numeric: "auto", style: "short" });

function ago(at) {
  const seconds = (at - Date.now()) / 1000;
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return relative.format(Math.trunc(seconds), "second");
}

function showTime(element) {
  if (element.closest(".phones")) return; // a phone shows its own clock
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.valueOf())) return;
  const words = element.hasAttribute("data-relative") ? ago(at)
    : at.toDateString() === new Date().toDateString() ? timeOnly.format(at) : dateTime.format(at);
  if (element.textContent !== words) element.textContent = words;
}

function showTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) showTime(element);
}

// --- saying ------------------------------------------------------------------------------------------------------------

const toasts = document.getElementById("toasts");

function say(words) {
  if (!toasts || !words) return;
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.textContent = words;
  toasts.append(toast);
  setTimeout(() => toast.remove(), 3500);
}

const MENUS = "details.menu[open], details.api[open], details.row-menu[open]";

// --- clicks ------------------------------------------------------------------------------------------------------------

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS a page has no clipboard; the old way still works.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(toasts?.dataset.copied);
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  const plain = target.closest("[data-copy]");
  if (plain) return void copy(plain.dataset.copy);
  const next = target.closest("[data-copy-next]");
  if (next) return void copy(next.closest(".code").querySelector("code").textContent);
  if (target.closest("[data-help]")) return void document.getElementById("help")?.showModal();
  const opener = target.closest(".nav-open");
  if (opener) {
    const nav = document.getElementById("nav");
    const open = nav.toggleAttribute("data-open");
    opener.setAttribute("aria-expanded", String(open));
    if (open) nav.querySelector("a")?.focus();
    return;
  }
  for (const menu of document.querySelectorAll(MENUS)) {
    if (!menu.contains(target)) menu.open = false;
  }
  const nav = document.querySelector(".nav[data-open]");
  if (nav && !nav.contains(target)) closeNav(nav);
  if (target.closest("[data-live-pause]")) setPaused(!paused);
});

function closeNav(nav) {
  nav.removeAttribute("data-open");
  document.querySelector(".nav-open")?.setAttribute("aria-expanded", "false");
}

document.addEventListener("change", (event) => {
  const field = event.target;
  if (field instanceof HTMLSelectElement && field.hasAttribute("data-submit")) field.form.requestSubmit();
  if (field instanceof HTMLInputElement && field.name === "theme") {
    html.dataset.theme = field.value;
    document.querySelector('meta[name="color-scheme"]').content = field.value === "system" ? "light dark" : field.value;
    document.cookie = `kurir_theme=${field.value}; Path=/; Max-Age=31536000; SameSite=Lax`;
  }
  if (field instanceof HTMLInputElement && field.hasAttribute("data-select-all")) {
    for (const box of document.querySelectorAll("input[data-select]")) box.checked = field.checked;
    document.dispatchEvent(new Event("selection"));
  }
  if (field instanceof HTMLInputElement && field.hasAttribute("data-select")) document.dispatchEvent(new Event("selection"));
});

// A form that cannot be undone asks first, in the words that the server put there.
document.addEventListener("submit", (event) => {
  const words = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (words && !window.confirm(words)) event.preventDefault();
}, true);

// --- keys --------------------------------------------------------------------------------------------------------------

const GO = { h: "", m: "/messages", a: "/accounts", c: "/callbacks", e: "/errors", p: "/phones" };
let went = 0;

function rows() { return [...document.querySelectorAll("tr[data-row]")].filter((row) => row.offsetParent); }

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.hasAttribute("data-current"));
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  for (const row of all) row.toggleAttribute("data-current", row === next);
  next.querySelector("a[data-open]")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target instanceof Element && event.target.closest("input:not([type=checkbox]), select, textarea, dialog, .phones");
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll(MENUS)) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary")?.focus();
      menu.open = false;
    }
    const nav = document.querySelector(".nav[data-open]");
    if (nav) { closeNav(nav); document.querySelector(".nav-open")?.focus(); }
    if (field?.matches("#jump, #q")) field.blur();
    return;
  }
  if (field) return;
  if (Date.now() - went < 1200 && event.key in GO) {
    went = 0;
    location.href = `${base}/console${GO[event.key]}`;
    return;
  }
  const current = document.querySelector("tr[data-current]");
  switch (event.key) {
    case "/": event.preventDefault(); (document.getElementById("q") ?? document.getElementById("jump"))?.focus(); break;
    case "?": document.getElementById("help")?.showModal(); break;
    case "j": move(1); break;
    case "k": move(-1); break;
    case "g": went = Date.now(); break;
    case "p": if (document.querySelector("[data-live]")) setPaused(!paused); break;
    case "x": current?.querySelector("input[data-select]")?.click(); break;
    // In a list it is the row that was walked to, or none: never the first that happens to have failed.
    case "r": (rows().length ? current : document)?.querySelector("main [data-retry]")?.click(); break;
  }
});

// --- live --------------------------------------------------------------------------------------------------------------

const live = document.getElementById("live");
let stream = null;
let paused = false;
let pending = 0;
let loaded = Date.now();

function showLive(state) {
  if (!live) return;
  live.dataset.state = state;
  live.querySelector(".live-word").textContent = live.dataset[state];
}

function setPaused(value) {
  paused = value;
  for (const button of document.querySelectorAll("[data-live-pause]")) button.setAttribute("aria-pressed", String(paused));
  paused ? close() : open();
  if (!paused) refresh();
}

// The pieces of the page that are live are asked for anew, at most once a second; what is typed or open stays (morph).
function refresh() {
  if (paused || document.hidden || pending) return;
  const wait = Math.max(0, 1000 - (Date.now() - loaded));
  pending = setTimeout(() => {
    pending = 0;
    loaded = Date.now();
    for (const element of document.querySelectorAll("[data-live]")) {
      if (element.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), select, textarea")) continue;
      window.htmx?.trigger(element, "pulse");
    }
  }, wait);
}

function open() {
  if (stream || paused || document.hidden || !document.querySelector("[data-live]")) return;
  stream = new EventSource(`${base}/console/live`);
  // What happened between the page and its stream was told to nobody: so the first thing is to ask anew.
  stream.addEventListener("open", () => { showLive("on"); refresh(); });
  stream.addEventListener("pulse", refresh);
  stream.addEventListener("error", () => { showLive("off"); });
}

function close() {
  stream?.close();
  stream = null;
  showLive(paused ? "paused" : "off");
}

// What the reader opened, picked or walked to is hers: the server does not know of it, and an update leaves it.
const HERS = { open: "details", checked: "input[data-select]", "data-current": "tr", "aria-pressed": "[data-live-pause]" };
if (window.Idiomorph) {
  const arrives = (node) => {
    // A time that comes with an update is in the reader's zone before it is seen.
    if (node instanceof HTMLTimeElement) showTime(node);
    else if (node instanceof Element) showTimes(node);
  };
  window.Idiomorph.defaults.callbacks.beforeNodeAdded = arrives;
  window.Idiomorph.defaults.callbacks.beforeNodeMorphed = (_old, node) => {
    if (node instanceof HTMLTimeElement) showTime(node);
  };
  window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => !(name in HERS && element.matches(HERS[name]));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
  else { open(); refresh(); }
});
document.addEventListener("htmx:afterSettle", () => showTimes());
document.addEventListener("htmx:responseError", () => say(toasts?.dataset.failed));
document.addEventListener("htmx:sendError", () => say(toasts?.dataset.failed));

showTimes();
setInterval(() => showTimes(), 5000);
if (live && !document.querySelector("[data-live]")) live.hidden = true;
open();
