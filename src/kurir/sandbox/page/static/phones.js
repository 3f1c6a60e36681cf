// The page: which person's phones are shown, the live state, reset and the empty state.

import { changeFault, changePhone, doAct, fetchFaults, fetchHint, fetchPhones, follow, inOrder, keyOf, moveClock, people, replay, resetSandbox, transcriptUrl } from "./data.js";
import { channelName, el, fillIcons } from "./dom.js";
import { PhoneView } from "./phone.js";
import { flash } from "./sheet.js";

/** @typedef {import("./data.js").Faults} Faults */
/** @typedef {import("./data.js").Phone} Phone */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(`phones-${id}`));
const strip = byId("strip");
const nav = byId("strip-nav");
const select = /** @type {HTMLSelectElement} */ (byId("person"));

/** @type {Map<string, Phone>} */
const phones = new Map();
/** @type {Map<string, PhoneView>} */
const views = new Map();
/** Whom the address or the person at the keyboard asked for, and who is shown: the same, if that one has phones. */
let wanted = new URLSearchParams(location.hash.slice(1)).get("person") ?? "";
let person = "";
/** Whose side is shown: the customer's phones, or the same chats as the business sees them. @type {"customer"|"business"} */
let side = "customer";
let loaded = false;
/** What is broken now, by channel. @type {Faults} */
let faults = { data: {}, words: {}, left_seconds: {} };
/** @type {ReturnType<typeof setTimeout>|undefined} */
let faultsEnd;

/** Draw all of it; cheap when little changed. */
function render() {
  const names = people(phones.values());
  person = names.includes(wanted) ? wanted : (names[0] ?? "");
  renderPeople(names);
  const shown = inOrder([...phones.values()].filter((phone) => phone.person === person));
  const keys = shown.map(keyOf);
  for (const [key, view] of views) {
    if (keys.includes(key)) continue;
    view.remove();
    views.delete(key);
  }
  shown.forEach((phone, index) => {
    const view = views.get(keys[index]);
    if (view) {
      if (view.phone !== phone) view.update(phone);
      return;
    }
    const made = new PhoneView(phone, switchPhone, breakPlatform, doAct);
    showFaults(made);
    made.show(side);
    views.set(keys[index], made);
    strip.insertBefore(made.element, strip.children[index] ?? null);
  });
  renderNav(shown);
  renderClock(shown[0]?.ahead ?? 0);
  renderEmpty(shown.every((phone) => phone.bubbles.length === 0));
}

/** @param {number} ahead seconds */
function renderClock(ahead) {
  const days = Math.round(ahead / 8640) / 10;
  byId("ahead").textContent = ahead ? `+${days} ${days === 1 ? "day" : "days"}` : "";
  byId("ahead").hidden = !ahead;
}

async function passDay() {
  try {
    await moveClock(24 * 3600 + 60);
    flash(byId("toast"), "A day passed on the platforms: Meta's windows are closed, reply tokens are over. Reset sets the clock back.");
  } catch (error) {
    flash(byId("toast"), `The clock was not moved. ${message(error)}`);
  }
}

/** @param {string[]} names */
function renderPeople(names) {
  byId("person-field").hidden = names.length === 0;
  if ([...select.options].map((option) => option.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  }
  for (const option of select.options) {
    const count = messagesOf(option.value);
    option.textContent = option.value === person || !count ? option.value : `${option.value} (${count})`;
  }
  select.value = person;
}

/** How many messages a person's phones hold. @param {string} name */
const messagesOf = (name) => [...phones.values()].reduce((sum, phone) => sum + (phone.person === name ? phone.bubbles.length : 0), 0);

/** @param {string} name */
function show(name) {
  wanted = name;
  history.replaceState(null, "", `#${new URLSearchParams({ person: name })}`);
  strip.scrollTo({ left: 0 });
  render();
}

/** @param {Phone[]} shown */
function renderNav(shown) {
  if (nav.dataset.keys === shown.map(keyOf).join()) return;
  nav.dataset.keys = shown.map(keyOf).join();
  const buttons = shown.map((phone) => el("button", {
    type: "button",
    "data-key": keyOf(phone),
    onclick: () => {
      const stage = /** @type {HTMLElement} */ (views.get(keyOf(phone))?.element);
      strip.scrollTo({ left: stage.offsetLeft - strip.offsetLeft - (strip.clientWidth - stage.offsetWidth) / 2 });
    },
  }, channelName(phone.channel)));
  nav.replaceChildren(...buttons);
  nav.hidden = shown.length < 2;
  markNav();
}

/** Mark the phone in the middle of the strip. */
function markNav() {
  const middle = strip.getBoundingClientRect().left + strip.clientWidth / 2;
  const stages = [...views.entries()].map(([key, view]) => ({ key, box: view.element.getBoundingClientRect() }));
  const nearest = stages.sort((one, other) => distance(one.box, middle) - distance(other.box, middle))[0]?.key;
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (nav.querySelectorAll("button"))) {
    if (button.dataset.key === nearest) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

/** @param {DOMRect} box @param {number} middle */
const distance = (box, middle) => Math.abs(box.left + box.width / 2 - middle);

/** @type {Promise<string>|null} */
let hint = null;

/** @param {boolean} empty */
async function renderEmpty(empty) {
  const elsewhere = empty ? people(phones.values()).find((name) => messagesOf(name) > 0) : undefined;
  byId("first").hidden = !empty || Boolean(elsewhere);
  byId("elsewhere").hidden = !elsewhere;
  if (elsewhere) {
    byId("elsewhere-words").textContent = `${person}'s phones are empty. Messages arrived for ${elsewhere}.`;
    byId("elsewhere-show").textContent = `Show ${elsewhere}'s phones`;
    byId("elsewhere-show").dataset.person = elsewhere;
  }
  if (byId("first").hidden || hint) return;
  hint = fetchHint();
  const command = await hint;
  if (!command) return;
  byId("first-words").textContent = "Paste this into a terminal and watch it arrive here:";
  byId("first-code").textContent = command;
  byId("first-curl").hidden = false;
}

/** @param {Phone} phone @param {import("./data.js").Switches} change */
async function switchPhone(phone, change) {
  try {
    await changePhone(phone, change);
    const now = phones.get(keyOf(phone));
    if (now) take({ ...now, ...change });
  } catch (error) {
    flash(byId("toast"), `The phone was not switched. ${message(error)}`);
    throw error;
  }
}

/** @param {string} channel @param {Record<string, unknown>|null} profile */
async function breakPlatform(channel, profile) {
  try {
    takeFaults(await changeFault(channel, profile));
  } catch (error) {
    flash(byId("toast"), `The fault was not changed. ${message(error)}`);
    throw error;
  }
}

/** @param {PhoneView} view */
const showFaults = (view) => view.faults.show(faults.data[view.phone.channel] ?? null, faults.words[view.phone.channel] ?? "");

/** @param {Faults} now */
function takeFaults(now) {
  faults = now;
  for (const view of views.values()) showFaults(view);
  clearTimeout(faultsEnd);
  const ends = Object.values(faults.left_seconds);
  // A fault that ends by itself makes no event. 24.8 days, the longest that a timer can wait, are more than one may last.
  if (ends.length) faultsEnd = setTimeout(() => fetchFaults().then(takeFaults, () => undefined), Math.min(...ends) * 1000 + 50);
}

/** Phones that the stream told of since the last fetch began: newer than what that fetch brings. @type {Set<string>} */
const told = new Set();

/** @param {Phone} phone */
function take(phone) {
  told.add(keyOf(phone));
  phones.set(keyOf(phone), phone);
  if (loaded) render(); // until all are known, one alone would look like all
}

async function load() {
  told.clear();
  try {
    const fetched = (await fetchPhones()).map((phone) => (told.has(keyOf(phone)) ? (phones.get(keyOf(phone)) ?? phone) : phone));
    phones.clear();
    for (const phone of fetched) phones.set(keyOf(phone), phone);
    byId("problem").hidden = true;
    loaded = true;
    render();
  } catch (error) {
    byId("problem").textContent = `The phones could not be loaded. ${message(error)}`;
    byId("problem").hidden = false;
  }
}

/** @param {unknown} error */
const message = (error) => (error instanceof Error ? error.message : String(error));

async function reset() {
  try {
    await resetSandbox();
    await load();
    flash(byId("toast"), "The sandbox is empty again.");
  } catch (error) {
    flash(byId("toast"), `Nothing was reset. ${message(error)}`);
  }
}

/** Save what happened to the shown person, for a colleague or a test. */
function save() {
  const link = el("a", { href: transcriptUrl(person), download: `case-${person.toLowerCase()}.json` });
  link.click();
}

/** The longest wait between two steps that are shown again, in seconds. */
const PAUSE = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.8;

/** @param {File} file */
async function playAgain(file) {
  const button = /** @type {HTMLButtonElement} */ (byId("replay"));
  button.disabled = true;
  try {
    const { played, refused } = await replay(await file.text(), PAUSE);
    const steps = played === 1 ? "1 step was" : `${played} steps were`;
    flash(byId("toast"), `${steps} played again.${refused.length ? ` ${refused.length} could not be: ${refused[0]}` : ""}`);
  } catch (error) {
    flash(byId("toast"), `The transcript was not played. ${message(error)}`);
  } finally {
    button.disabled = false;
  }
}

async function copyHint() {
  const words = byId("first-code").textContent ?? "";
  try {
    await navigator.clipboard.writeText(words);
    flash(byId("toast"), "Copied.");
  } catch {
    getSelection()?.selectAllChildren(byId("first-code"));
    flash(byId("toast"), "Selected: copy it with your keyboard.");
  }
}

fillIcons(/** @type {HTMLElement} */ (document.getElementById("phones")));
select.addEventListener("change", () => show(select.value));
byId("elsewhere-show").addEventListener("click", () => {
  show(byId("elsewhere-show").dataset.person ?? "");
  select.focus();
});
byId("reset").addEventListener("click", reset);
byId("day").addEventListener("click", passDay);
byId("save").addEventListener("click", save);
const picker = /** @type {HTMLInputElement} */ (byId("transcript"));
byId("replay").addEventListener("click", () => {
  picker.value = "";
  picker.click();
});
picker.addEventListener("change", () => picker.files?.[0] && playAgain(picker.files[0]));
byId("sides").addEventListener("change", (event) => {
  side = /** @type {HTMLInputElement} */ (event.target).value === "business" ? "business" : "customer";
  for (const view of views.values()) view.show(side);
});
byId("first-copy").addEventListener("click", copyHint);
strip.addEventListener("scroll", markNav, { passive: true });
setInterval(() => views.forEach((view) => view.tellTime()), 20_000);
follow({
  onPhone: take,
  onFaults: takeFaults,
  onState: (state) => {
    byId("live").dataset.state = state;
    byId("live-word").textContent = state === "live" ? "live" : "reconnecting";
  },
  onOpen: load, // what was missed before, or in the gap
});
load();
