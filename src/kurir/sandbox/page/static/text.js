// Hostile text to nodes: spans and links. Nothing here parses marks or markup: what is bold, the emulator decided.

import { el, safeUrl } from "./dom.js";

/** @typedef {import("./data.js").Span} Span */

const TAGS = /** @type {Record<string, string>} */ ({ bold: "strong", italic: "em", underline: "u", strike: "s", code: "code", pre: "code" });
const LINK = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;

/**
 * The nodes of *text* with its *spans*; addresses become links.
 * @param {string} text
 * @param {Span[]} spans
 * @returns {Node[]}
 */
export function textNodes(text, spans) {
  const runs = spans
    .filter((span) => TAGS[span.style] && span.length > 0)
    .map((span) => ({ from: span.offset, to: span.offset + span.length, style: span.style, href: "" }));
  for (const match of text.matchAll(LINK)) {
    const href = safeUrl(match[0]);
    if (href) runs.push({ from: match.index, to: match.index + match[0].length, style: "link", href });
  }
  const edges = [...new Set([0, text.length, ...runs.flatMap((run) => [run.from, run.to])])]
    .filter((edge) => edge >= 0 && edge <= text.length)
    .sort((one, other) => one - other);
  return edges.slice(1).map((to, index) => {
    const from = edges[index];
    const around = runs.filter((run) => run.from <= from && run.to >= to);
    return around.reduce((/** @type {Node} */ inner, run) => wrap(inner, run), document.createTextNode(text.slice(from, to)));
  });
}

/** @param {Node} inner @param {{style: string, href: string}} run */
function wrap(inner, run) {
  if (run.style !== "link") return el(TAGS[run.style], {}, inner);
  return el("a", { href: run.href, target: "_blank", rel: "noopener noreferrer" }, inner);
}

/** The language that gives *text* the right glyphs, or "". @param {string} text */
export function languageOf(text) {
  if (/[\u3040-\u30ff]/.test(text)) return "ja";
  if (/[\uac00-\ud7af]/.test(text)) return "ko";
  if (/[\u4e00-\u9fff]/.test(text)) return "zh-Hant";
  if (/[\u0e00-\u0e7f]/.test(text)) return "th";
  return "";
}
