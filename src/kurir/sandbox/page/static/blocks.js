// Blocks to DOM: one small function a kind. The looks are CSS; what differs in structure stands in SKINS.

import { audioBlock } from "./audio.js";
import { mediaUrl } from "./data.js";
import { clock, el, icon, safeUrl } from "./dom.js";
import { counter, limitedNodes, limitedTitle } from "./limits.js";
import { locationBlock } from "./map.js";
import { openSheet, press } from "./sheet.js";
import { languageOf } from "./text.js";
import { outerTick, tickMark } from "./ticks.js";

/** @typedef {import("./data.js").Block} Block */
/** @typedef {import("./data.js").Bubble} Bubble */
/** @typedef {import("./data.js").Choice} Choice */

/**
 * Where the time stands, and whether media stand without a bubble.
 * @type {Record<string, {time: "inside"|"outside"|"none", bare: boolean}>}
 */
const SKINS = {
  whatsapp: { time: "inside", bare: false },
  telegram: { time: "inside", bare: false },
  line: { time: "outside", bare: true },
  messenger: { time: "none", bare: true },
};
const MEDIA = ["image", "video"];

/** @param {string} channel */
export const skinOf = (channel) => SKINS[channel] ?? SKINS.messenger;

/**
 * The pieces of a message: its bubble with all that stands in it, then what the app hangs under it.
 * Chips are left out: they stand above the keyboard, see ``Phone.chips``.
 * @param {Bubble} bubble
 * @param {string} channel
 * @param {boolean} [own] whether it is drawn as the reader's own, with the app's ticks
 * @returns {HTMLElement[]}
 */
export function messageParts(bubble, channel, own = false) {
  if (bubble.gone) return [el("div", { class: "bubble gone" }, el("div", { class: "text" }, bubble.mine ? "Taken back" : "Deleted"))];
  const skin = skinOf(channel);
  const inside = bubble.blocks.filter((block) => !hangsUnder(block));
  const under = bubble.blocks.filter((block) => hangsUnder(block) && block.style !== "chips");
  const box = inside.length || bubble.quoted ? bubbleBox(bubble, inside, channel, own) : null;
  const words = el("time", { class: "time-out", datetime: bubble.at || null }, clock(bubble.at));
  const time = own && skin.time === "outside" ? el("span", { class: "outs" }, tickMark(channel, bubble.tick), words) : words;
  const parts = [...(box ? [box] : []), ...under.map((block) => draw(block, channel))];
  if (skin.time === "outside" && parts.length) parts[parts.length - 1] = withTime(parts[parts.length - 1], time);
  if (skin.time === "inside" && !box) parts.push(el("div", { class: "time-alone" }, time, own ? tickMark(channel, bubble.tick) : null));
  if (own && skin.time === "none") parts.push(outerTick(channel, bubble.tick));
  return parts;
}

/** One press of a choice: an address opens, anything else would be an answer. @param {Choice} choice @param {string} className @param {string} [channel] */
export function choiceControl(choice, className, channel = "") {
  const href = choice.payload ? "" : safeUrl(choice.url, ["http:", "https:", "tel:", "mailto:"]);
  const words = [el("span", { class: "choice-title", dir: "auto", lang: languageOf(choice.title) || null }, ...limitedTitle(choice, channel))];
  const count = counter(choice, channel === "telegram" ? "callback data" : "");
  if (count) words.push(count);
  if (choice.description) words.push(el("span", { class: "choice-description", dir: "auto" }, choice.description));
  if (href) return el("a", { class: `choice ${className}`, href, target: "_blank", rel: "noopener noreferrer" }, ...words, icon("out"));
  return el("button", { type: "button", class: `choice ${className}`, "data-title": choice.title, onclick: (/** @type {Event} */ event) => press(/** @type {Element} */ (event.currentTarget), choice) },
    className === "row" ? icon("reply") : null, ...words);
}

/** @param {Block} block */
const hangsUnder = (block) => block.kind === "carousel" || (block.kind === "buttons" && block.style !== "rows");

/** @param {HTMLElement} part @param {HTMLElement} time */
const withTime = (part, time) => el("div", { class: "beside" }, part, time);

/** @param {Bubble} bubble @param {Block[]} blocks @param {string} channel @param {boolean} [own] */
function bubbleBox(bubble, blocks, channel, own = false) {
  const skin = skinOf(channel);
  const pressed = blocks.filter((block) => block.kind === "buttons" || block.kind === "list");
  const rest = blocks.filter((block) => !pressed.includes(block));
  const onlyMedia = rest.length > 0 && rest.every((block) => MEDIA.includes(block.kind)) && !bubble.quoted;
  const drawn = rest.map((block) => draw(block, channel));
  if (skin.time === "inside") placeTime(drawn, rest, bubble.at, own ? tickMark(channel, bubble.tick) : null);
  const names = ["bubble"];
  if (pressed.length || rest.some((block) => block.role === "title")) names.push("card");
  if (onlyMedia) names.push("media-only");
  if (onlyMedia && skin.bare && !pressed.length) names.push("bare");
  if (MEDIA.includes(rest[0]?.kind) || ["location"].includes(rest[0]?.kind)) names.push("wide");
  return el("div", { class: names.join(" ") },
    bubble.quoted ? quote(bubble.quoted_words || bubble.quoted) : null, ...drawn, ...pressed.map((block) => draw(block, channel)));
}

/** Put the time where these apps have it: in the last line of text, upon a picture, else in a line of its own. */
function placeTime(/** @type {HTMLElement[]} */ drawn, /** @type {Block[]} */ blocks, /** @type {string} */ at, /** @type {HTMLElement|null} */ tick) {
  if (!at) return;
  const time = el("time", { class: "time-in", datetime: at }, clock(at), tick);
  const last = blocks.at(-1);
  if (last?.kind === "text") drawn.at(-1)?.append(time);
  else if (last && MEDIA.includes(last.kind)) drawn.at(-1)?.append(el("span", { class: "time-on" }, time));
  else drawn.push(el("div", { class: "time-line" }, time));
}

/** @param {string} words */
const quote = (words) => el("blockquote", { class: "quote", dir: "auto" }, el("span", { class: "sr" }, "In reply to: "), words);

/** @type {Record<string, (block: Block, channel: string) => HTMLElement>} */
const KINDS = {
  text: textBlock,
  image: imageBlock,
  video: videoBlock,
  audio: audioBlock,
  document: documentBlock,
  location: locationBlock,
  buttons: buttonsBlock,
  list: listBlock,
  carousel: carouselBlock,
  note: (block) => el("div", { class: "text" }, block.text),
};

/** @param {Block} block @param {string} channel @returns {HTMLElement} */
const draw = (block, channel) => (KINDS[block.kind] ?? unknownBlock)(block, channel);

/** @param {Block} block @param {string} channel */
function textBlock(block, channel) {
  return el("div", { class: `text text-${block.role}`, dir: "auto", lang: languageOf(block.text) || null }, ...limitedNodes(block, channel), counter(block));
}

/** @param {Block} block */
function imageBlock(block) {
  const box = el("div", { class: block.style === "sticker" ? "media image sticker" : "media image" });
  const source = mediaUrl(block.url);
  const image = el("img", { src: source || null, alt: block.name || block.title || "Image without a description", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => box.replaceChild(missing("photo", "This image could not be loaded", block.url), image));
  box.append(source ? image : missing("photo", "This image has no address that can be shown", block.url));
  return box;
}

/** @param {Block} block */
function videoBlock(block) {
  const source = mediaUrl(block.url);
  const poster = mediaUrl(block.poster);
  if (!source) return el("div", { class: "media video" }, missing("play", "This video has no address that can be shown", block.url));
  const video = el("video", { src: source, poster: poster || null, preload: poster ? "none" : "metadata", playsinline: true });
  const play = el("button", { type: "button", class: "video-play", "aria-label": `Play ${block.name || "video"}` }, icon("play"));
  const box = el("div", { class: "media video" }, video, play);
  play.addEventListener("click", () => {
    video.controls = true;
    play.remove();
    video.focus();
    video.play().catch(() => undefined); // the error event below tells the person
  });
  video.addEventListener("error", () => box.replaceChildren(missing("play", "This video could not be loaded", block.url)));
  return box;
}

/** @param {string} name @param {string} words @param {string} url */
const missing = (name, words, url) => el("div", { class: "missing" }, icon(name), el("span", {}, words), el("span", { class: "missing-url" }, url));

/** @param {Block} block */
function documentBlock(block) {
  const name = block.name || block.url.split("/").at(-1) || "Document";
  const type = documentType(block, name);
  const href = mediaUrl(block.url);
  const parts = [
    el("span", { class: `doc-icon doc-${type.toLowerCase()}`, "aria-hidden": "true" }, icon("doc"), el("span", {}, type)),
    el("span", { class: "doc-words" }, el("span", { class: "doc-name", dir: "auto" }, name),
      el("span", { class: "doc-facts" }, [type, bytes(block.size)].filter(Boolean).join(" · "))),
  ];
  if (!href) return el("div", { class: "document" }, ...parts);
  return el("a", { class: "document", href, target: "_blank", rel: "noopener noreferrer" }, ...parts);
}

/** @param {Block} block @param {string} name */
function documentType(block, name) {
  const ending = /\.([a-z0-9]{1,5})$/i.exec(name)?.[1] ?? /[/.]([a-z0-9]{1,5})$/i.exec(block.mime_type)?.[1];
  return (ending ?? "File").toUpperCase();
}

/** @param {number|null} size */
function bytes(size) {
  if (size === null || size === undefined) return "";
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  let value = size;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** @param {Block} block @param {string} channel */
function buttonsBlock(block, channel) {
  const className = block.style === "rows" ? "row" : "key";
  const box = el("div", { class: className === "row" ? "rows" : "keyboard", role: "group", "aria-label": "Buttons" },
    ...block.choices.map((choice) => choiceControl(choice, className, channel)));
  if (className === "key") box.style.setProperty("--keys", String(Math.max(1, block.choices.length))); // one block is one row of keys
  return box;
}

/** @param {Block} block */
function listBlock(block) {
  return el("div", { class: "rows" }, el("button", {
    type: "button",
    class: "choice row list-open",
    "aria-haspopup": "dialog",
    onclick: (/** @type {Event} */ event) => openSheet(/** @type {HTMLElement} */ (event.currentTarget), block),
  }, icon("list"), el("span", { class: "choice-title", dir: "auto" }, block.label || block.title || "Options"), counter(block)));
}

/** @param {Block} block @param {string} channel */
function carouselBlock(block, channel) {
  const cards = block.cards.map((card, index) => el("div", { class: "bubble card slide", role: "group", "aria-label": `Card ${index + 1} of ${block.cards.length}` },
    ...card.map((part) => draw(part, channel))));
  const rail = el("div", { class: "rail", tabindex: 0, role: "group", "aria-label": `Carousel, ${block.cards.length} cards` }, ...cards);
  const step = (/** @type {number} */ way) => () => rail.scrollBy({ left: way * (cards[0]?.offsetWidth ?? 200) });
  return el("div", { class: "carousel" }, rail,
    el("button", { type: "button", class: "slide-step back", "aria-label": "Previous card", onclick: step(-1) }, icon("back")),
    el("button", { type: "button", class: "slide-step next", "aria-label": "Next card", onclick: step(1) }, icon("next")));
}

/** @param {Block} block */
function unknownBlock(block) {
  if (!/^\s*[[{]/.test(block.text)) return el("p", { class: "unknown", dir: "auto" }, el("span", { class: "unknown-note" }, "Not drawn here: "), block.text);
  return el("details", { class: "unknown" },
    el("summary", {}, "A kind that this preview does not draw"),
    el("pre", { tabindex: 0, "aria-label": "The payload" }, el("code", {}, pretty(block.text))));
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
