// Hostile text to nodes: spans, WhatsApp-style marks and links. Nothing here ever parses markup.

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

const MARKS = [
  { style: "code", open: "```", lines: true },
  { style: "code", open: "`", lines: false },
  { style: "bold", open: "*", lines: false },
  { style: "italic", open: "_", lines: false },
  { style: "strike", open: "~", lines: false },
];
const WORD = /[\p{L}\p{N}]/u;

/**
 * WhatsApp's marks as that app reads them: *bold*, _italic_, ~strike~, `code` and ```code```. The marks go, spans stay.
 * @param {string} text
 * @returns {{text: string, spans: Span[]}}
 */
export function readMarks(text) {
  /** @type {{from: number, to: number, width: number, style: string}[]} */
  const pairs = [];
  let at = 0;
  const open = /** @type {Record<string, number>} */ ({});
  while (at < text.length) {
    const mark = MARKS.find((one) => text.startsWith(one.open, at));
    if (text[at] === "\n") for (const key of Object.keys(open)) delete open[key];
    if (!mark) {
      at += 1;
      continue;
    }
    const width = mark.open.length;
    if (mark.style === "code") {
      const end = text.indexOf(mark.open, at + width);
      const inside = end < 0 ? "" : text.slice(at + width, end);
      if (inside.trim() && (mark.lines || !inside.includes("\n"))) {
        pairs.push({ from: at, to: end, width, style: "code" });
        at = end + width;
        continue;
      }
    } else if (mark.open in open && closes(text, at) && at - open[mark.open] > 1) {
      const from = open[mark.open];
      pairs.push({ from, to: at, width, style: mark.style });
      for (const [key, place] of Object.entries(open)) if (place >= from) delete open[key];
    } else if (opens(text, at)) open[mark.open] = at;
    at += width;
  }
  return strip(text, pairs);
}

/** @param {string} text @param {number} at */
const opens = (text, at) => !WORD.test(text[at - 1] ?? " ") && /\S/.test(text[at + 1] ?? " ");
/** @param {string} text @param {number} at */
const closes = (text, at) => !WORD.test(text[at + 1] ?? " ") && /\S/.test(text[at - 1] ?? " ");

/** @param {string} text @param {{from: number, to: number, width: number, style: string}[]} pairs */
function strip(text, pairs) {
  const cuts = pairs.flatMap(({ from, to, width }) => [[from, width], [to, width]]).sort((one, other) => one[0] - other[0]);
  const moved = (/** @type {number} */ place) => place - cuts.reduce((sum, [at, width]) => sum + (at < place ? width : 0), 0);
  let kept = "";
  let from = 0;
  for (const [at, width] of cuts) {
    kept += text.slice(from, at);
    from = at + width;
  }
  const spans = pairs.map((pair) => {
    const offset = moved(pair.from + pair.width);
    return { offset, length: moved(pair.to) - offset, style: pair.style };
  });
  return { text: kept + text.slice(from), spans };
}

/** The language that gives *text* the right glyphs, or "". @param {string} text */
export function languageOf(text) {
  if (/[\u3040-\u30ff]/.test(text)) return "ja";
  if (/[\uac00-\ud7af]/.test(text)) return "ko";
  if (/[\u4e00-\u9fff]/.test(text)) return "zh-Hant";
  if (/[\u0e00-\u0e7f]/.test(text)) return "th";
  return "";
}
