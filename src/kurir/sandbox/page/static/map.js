// A location's card: a map-like drawing of our own, the same for the same coordinates. It shows no real streets.

import { el, icon, svg } from "./dom.js";

/** @typedef {import("./data.js").Block} Block */

/** @param {Block} block */
export function locationBlock(block) {
  const { latitude, longitude, title, text } = block;
  const words = `${degrees(latitude, "N", "S")}, ${degrees(longitude, "E", "W")}`;
  return el("div", { class: "location" },
    el("div", { class: "map" }, drawing(latitude, longitude), el("span", { class: "map-pin" }, icon("pin"))),
    el("div", { class: "location-words" },
      title ? el("strong", { dir: "auto" }, title) : null,
      text ? el("span", { class: "location-text", dir: "auto" }, text) : null,
      el("span", { class: "coordinates" }, words)));
}

/** @param {number} value @param {string} plus @param {string} minus */
const degrees = (value, plus, minus) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? minus : plus}`;

/** @param {number} latitude @param {number} longitude */
function drawing(latitude, longitude) {
  let seed = (Math.round(Math.abs(latitude) * 1e4) * 7919 + Math.round(Math.abs(longitude) * 1e4) * 104729) >>> 0;
  const next = (/** @type {number} */ below) => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return ((seed >>> 8) % 1000) / 1000 * below;
  };
  const turn = next(50) - 25;
  const parts = [svg("rect", { class: "land", x: -60, y: -60, width: 360, height: 260 })];
  for (let x = -40; x < 280; x += 30 + next(18)) parts.push(svg("rect", { class: "park", x, y: -40 + next(180), width: 18 + next(26), height: 16 + next(22), rx: 3 }));
  const water = 20 + next(70);
  parts.push(svg("path", { class: "water", d: `M-60 ${water + 60} C 40 ${water}, 110 ${water + 90}, 300 ${water + 30}` }));
  for (let x = -50; x < 290; x += 34 + next(16)) parts.push(svg("path", { class: "street", d: `M${x} -60 V200` }));
  for (let y = -50; y < 190; y += 26 + next(16)) parts.push(svg("path", { class: "street", d: `M-60 ${y} H300` }));
  parts.push(svg("path", { class: "road", d: `M-60 ${50 + next(30)} L300 ${30 + next(60)}` }));
  parts.push(svg("path", { class: "road", d: `M${90 + next(60)} -60 V200` }));
  return svg("svg", { class: "map-drawing", viewBox: "0 0 240 120", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" },
    svg("g", { transform: `rotate(${turn.toFixed(1)} 120 60)` }, ...parts));
}
