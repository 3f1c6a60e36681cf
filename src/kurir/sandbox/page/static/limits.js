// How long a text is, as its platform counts it: a red counter where it is too long, and a mark on what is beyond the limit.

import { el } from "./dom.js";
import { textNodes } from "./text.js";

/** @typedef {import("./data.js").Block} Block */
/** @typedef {import("./data.js").Choice} Choice */

/** From this share of a limit on, the counter is shown. */
const NEAR = 0.9;
/** Only long texts say how near they are: a title of 19 of 20 is nothing to tell. */
const LONG = 200;

/** Words as they stand in the Unicode of people, where a platform counts so. @param {string} text @returns {string[]} */
const graphemes = (text) => ("Segmenter" in Intl ? [...new Intl.Segmenter().segment(text)].map((one) => one.segment) : [...text]);

/**
 * Where the part of *text* begins that is too much, in UTF-16 units. Platforms count differently, so it is counted from the end.
 * @param {string} text @param {number} length @param {number} limit @param {string} channel
 */
export function cutOf(text, length, limit, channel) {
  const over = limit && length > limit ? length - limit : 0;
  if (!over) return text.length;
  if (channel === "telegram") return [...text].slice(0, -over).join("").length;
  const clusters = graphemes(text);
  if (channel === "line" && clusters.length === length) return clusters.slice(0, -over).join("").length;
  return Math.max(0, text.length - over);
}

/** The nodes of a text, with what is beyond the limit marked. @param {Block} block @param {string} channel @returns {Node[]} */
export function limitedNodes(block, channel) {
  const cut = cutOf(block.text, block.length ?? 0, block.limit ?? 0, channel);
  if (cut >= block.text.length) return textNodes(block.text, block.spans);
  const spans = block.spans.map((span) => ({ ...span, length: Math.min(span.length, cut - span.offset) }));
  return [...textNodes(block.text.slice(0, cut), spans), beyond(block.text.slice(cut))];
}

/** A choice's title, with what is beyond the limit marked. @param {Choice} choice @param {string} channel @returns {(Node|string)[]} */
export function limitedTitle(choice, channel) {
  if (channel === "telegram") return [choice.title]; // what is counted there is the callback data, which nobody sees
  const cut = cutOf(choice.title, choice.length ?? 0, choice.limit ?? 0, channel);
  return cut >= choice.title.length ? [choice.title] : [choice.title.slice(0, cut), beyond(choice.title.slice(cut))];
}

/** @param {string} text */
const beyond = (text) => el("mark", { class: "beyond" }, el("span", { class: "sr" }, " Beyond the limit: "), text);

/**
 * The counter of a text or a choice, or null where there is nothing to say.
 * @param {{length?: number, limit?: number}} counted @param {string} [what]
 */
export function counter({ length = 0, limit = 0 }, what = "") {
  const over = length > limit;
  if (!limit || !(over || (limit >= LONG && length >= limit * NEAR))) return null;
  const numbers = `${length.toLocaleString("en")} / ${limit.toLocaleString("en")}`;
  return el("span", { class: over ? "count over" : "count" }, el("span", { class: "sr" }, over ? "Too long: " : "Length: "), `${what ? `${what}: ` : ""}${numbers}`);
}
