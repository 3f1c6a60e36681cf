// The sender's ledger: what the business learned of each bubble, beside the phone, in line with the bubble.

import { channelName, clock, el, icon } from "./dom.js";

/** @typedef {import("./data.js").Bubble} Bubble */
/** @typedef {import("./data.js").LedgerEvent} LedgerEvent */
/** @typedef {import("./data.js").Phone} Phone */

const WORDS = /** @type {Record<string, string>} */ ({
  "-3": "Failed", "-2": "Undelivered", "-1": "Unsent", "0": "Pending", "1": "Sent", "2": "Delivered", "3": "Read",
});
const TICKS = ["clock", "sent", "delivered", "read"];
const GAP = 10;

/** The status in words. @param {number} status */
export const statusWord = (status) => WORDS[String(status)] ?? `Status ${status}`;

/** @param {number} status */
const tickOf = (status) => (status < 0 ? "failed" : (TICKS[status] ?? "clock"));

/** A status number as people write it, with a true minus. @param {number} status */
const number = (status) => String(status).replace("-", "−");

/**
 * One bubble's entry.
 * @param {Bubble} bubble
 * @param {Phone} phone
 */
export function entry(bubble, phone) {
  const word = bubble.mine ? `From ${phone.person}` : statusWord(bubble.status);
  const open = el("button", {
    type: "button",
    class: "entry-open",
    "aria-haspopup": "dialog",
    "aria-label": bubble.mine ? `${word}: the webhook of ${clock(bubble.at)}` : `${word}, status ${number(bubble.status)}: steps and request of the message of ${clock(bubble.at)}`,
    onclick: () => inspect(bubble, phone),
  }, icon(bubble.mine ? "reply" : `tick-${bubble.tick}`), el("span", { class: "entry-word" }, word), bubble.mine ? null : el("span", { class: "entry-number" }, number(bubble.status)));
  return el("li", { class: bubble.mine ? "entry heard" : "entry", "data-tick": bubble.tick, "data-id": bubble.id },
    open,
    el("ol", { class: "steps" }, ...bubble.events.map((event) => step(event, isFinal(bubble), bubble.mine))),
    isFinal(bubble) ? el("p", { class: "final" }, "final on this channel") : null);
}

/** @param {Bubble} bubble */
const isFinal = (bubble) => bubble.final && bubble.status > 0 && bubble.status < 3;

/** One step; what the badge says already is not said twice. @param {LedgerEvent} event @param {boolean} badge @param {boolean} [heard] */
function step(event, badge, heard = false) {
  const what = badge ? event.what.replace(/[\s:;,]*final on this channel\.?$/, "") : event.what;
  return el("li", { class: "step", "data-tick": tickOf(event.status) },
    el("span", { class: "step-head" }, heard ? null : icon(`tick-${tickOf(event.status)}`, statusWord(event.status)),
      heard ? null : el("span", { class: "step-number" }, number(event.status)), el("time", { datetime: event.at }, clock(event.at, true))),
    el("span", { class: "step-what", dir: "auto" }, ...breakable(what)),
    event.answer ? el("span", { class: "step-answer" }, el("span", { "aria-hidden": "true" }, "→ "), el("span", { class: "sr" }, "answered "), event.answer) : null);
}

/** Long names of events may break after their marks. @param {string} words @returns {(string|Node)[]} */
const breakable = (words) => words.split(/(?<=[_./])/).flatMap((piece, index) => (index ? [el("wbr"), piece] : [piece]));

/** All steps of one message and the request as it arrived. @param {Bubble} bubble @param {Phone} phone */
function inspect(bubble, phone) {
  const close = el("button", { type: "button", class: "plain square", "aria-label": "Close" }, icon("close"));
  const dialog = el("dialog", { class: "inspector", "aria-labelledby": "inspector-title" },
    el("div", { class: "inspector-head" },
      el("div", {}, el("h2", { id: "inspector-title" }, `Message of ${clock(bubble.at, true)}`),
        el("p", {}, `${channelName(phone.channel)}-style, ${bubble.mine ? "from" : "to"} ${phone.person} · `, el("code", {}, bubble.id))), close),
    el("h3", {}, "What the sender learned"),
    bubble.events.length ? el("ol", { class: "steps full" }, ...bubble.events.map((event) => step(event, isFinal(bubble), bubble.mine))) : el("p", { class: "none" }, "Nothing yet."),
    isFinal(bubble) ? el("p", { class: "final" }, "final on this channel: this platform never tells more") : null,
    el("h3", {}, bubble.mine ? "The webhook as the platform posts it" : "The request as the platform got it"),
    el("pre", { tabindex: 0, "aria-label": bubble.mine ? "The webhook" : "The request" }, el("code", {}, JSON.stringify(bubble.payload, null, 2))));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (/** @type {Event} */ event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  (document.querySelector(".phones") ?? document.body).append(dialog);
  dialog.showModal();
}

/**
 * Bring every entry to its bubble's height. Where the ledger stands under the phone it is a plain list.
 * @param {HTMLElement} chat the scroller
 * @param {HTMLElement} ledger
 */
export function align(chat, ledger) {
  const list = /** @type {HTMLElement} */ (ledger.querySelector(".entries"));
  const beside = getComputedStyle(ledger).getPropertyValue("--beside").trim() === "1";
  const rows = /** @type {HTMLElement[]} */ ([...chat.querySelectorAll("article")]);
  const entries = /** @type {HTMLElement[]} */ ([...list.children]);
  ledger.classList.toggle("is-beside", beside);
  const heights = beside ? entries.map((one) => one.offsetHeight) : [];
  rows.forEach((row, index) => row.style.setProperty("min-height", beside ? `${(heights[index] ?? 0) + GAP}px` : ""));
  if (beside) {
    ledger.style.setProperty("--chat-top", `${chat.getBoundingClientRect().top - ledger.getBoundingClientRect().top}px`);
    ledger.style.setProperty("--chat-height", `${chat.clientHeight}px`);
    list.style.setProperty("height", `${chat.scrollHeight}px`);
    const tops = rows.map((row) => row.offsetTop);
    entries.forEach((one, index) => one.style.setProperty("top", `${tops[index] ?? 0}px`));
    scroller(ledger).scrollTop = chat.scrollTop;
  } else {
    list.style.setProperty("height", "");
    for (const one of entries) one.style.setProperty("top", "");
  }
}

/** Where the ledger is a list, its newest entry stands at the end. @param {HTMLElement} ledger */
export function ledgerToEnd(ledger) {
  if (!ledger.classList.contains("is-beside")) scroller(ledger).scrollTop = scroller(ledger).scrollHeight;
}

/** @param {HTMLElement} ledger */
const scroller = (ledger) => /** @type {HTMLElement} */ (ledger.querySelector(".entries-scroll"));

/** Let chat and ledger scroll as one while they stand side by side. @param {HTMLElement} chat @param {HTMLElement} ledger */
export function scrollTogether(chat, ledger) {
  const other = scroller(ledger);
  chat.addEventListener("scroll", () => {
    if (ledger.classList.contains("is-beside") && other.scrollTop !== chat.scrollTop) other.scrollTop = chat.scrollTop;
  }, { passive: true });
  other.addEventListener("scroll", () => {
    if (ledger.classList.contains("is-beside") && other.scrollTop !== chat.scrollTop) chat.scrollTop = other.scrollTop;
  }, { passive: true });
}
