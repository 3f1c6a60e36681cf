// Making DOM: elements with text as text, never as markup, and our own icons.

import { ICONS } from "./base.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. A child that is a string becomes a text node; null and false are left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `class`, ARIA and so on; functions under `on…` become listeners
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any} the element, typed loosely so that callers need no casts
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  assign(made, attributes);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * Make an SVG element.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  assign(made, attributes);
  made.append(...children);
  return made;
}

/**
 * One of the symbols of icons.svg; decoration unless *label* says otherwise.
 * @param {string} name
 * @param {string} [label]
 */
export function icon(name, label = "") {
  const said = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return svg("svg", { class: `icon icon-${name}`, ...said }, svg("use", { href: `${ICONS}#${name}` }));
}

/** Give the placeholders of *root*, `<svg data-icon="sun">`, their symbols: a host's page need not know where these are. @param {ParentNode} root */
export function fillIcons(root) {
  for (const place of /** @type {NodeListOf<SVGElement>} */ (root.querySelectorAll("svg[data-icon]"))) {
    place.classList.add("icon", `icon-${place.dataset.icon}`);
    place.replaceChildren(svg("use", { href: `${ICONS}#${place.dataset.icon}` }));
  }
}

/** @param {Element} made @param {Record<string, unknown>} attributes */
function assign(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else made.setAttribute(name, value === true ? "" : String(value));
  }
}

let lastId = 0;

/** An id that no other element of the page has. @param {string} prefix */
export const uniqueId = (prefix) => `${prefix}-${++lastId}`;

/**
 * A hostile address made harmless: only what a person may follow or load, else "".
 * @param {string} url
 * @param {string[]} schemes
 */
export function safeUrl(url, schemes = ["http:", "https:"]) {
  if (!url) return "";
  try {
    const parsed = new URL(url, location.href);
    return schemes.includes(parsed.protocol) ? parsed.href : "";
  } catch {
    return "";
  }
}

/** The time of day of an RFC 3339 time, local. @param {string} at @param {boolean} [seconds] */
export function clock(at, seconds = false) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return [date.getHours(), date.getMinutes(), ...(seconds ? [date.getSeconds()] : [])].map(two).join(":");
}

/** The channel's name as people write it. @param {string} channel */
export const channelName = (channel) =>
  ({ whatsapp: "WhatsApp", telegram: "Telegram", line: "LINE", messenger: "Messenger" })[channel] ?? channel;
