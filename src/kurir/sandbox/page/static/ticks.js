// An app's ticks on its owner's own messages: what the app itself would say there, and nothing that it cannot know.

import { el, icon } from "./dom.js";

const WORDS = /** @type {Record<string, string>} */ ({ clock: "pending", sent: "sent", delivered: "delivered", read: "read", failed: "failed" });
/** Telegram's app knows one tick for its cloud and two for read, and none for delivered. */
const TELEGRAM = /** @type {Record<string, string>} */ ({ delivered: "sent" });
/** Messenger's circles: open, with a tick, filled; then a small face. */
const CIRCLES = /** @type {Record<string, string>} */ ({ clock: "ring", sent: "ring-tick", delivered: "disc-tick" });

/** The tick beside the time. @param {string} channel @param {string} tick @returns {HTMLElement|null} */
export function tickMark(channel, tick) {
  if (!WORDS[tick]) return null;
  if (tick !== "failed" && channel === "line") return tick === "read" ? el("span", { class: "read-word" }, "Read") : null;
  const shown = channel === "telegram" ? (TELEGRAM[tick] ?? tick) : tick;
  return el("span", { class: "ticks", "data-tick": shown }, icon(`tick-${shown}`, WORDS[shown]));
}

/** The circle after a message. @param {string} channel @param {string} tick @returns {HTMLElement} */
export function outerTick(channel, tick) {
  if (tick === "failed") return el("span", { class: "circle", "data-tick": "failed" }, icon("tick-failed", WORDS.failed));
  if (tick === "read") return el("span", { class: "circle face", role: "img", "aria-label": WORDS.read });
  return el("span", { class: "circle", "data-tick": tick }, icon(CIRCLES[tick] ?? "ring", WORDS[tick] ?? tick));
}
