// Voice messages and audio files: real playback, and a waveform of the real sound where we may read it.

import { el, icon, svg } from "./dom.js";
import { mediaUrl } from "./data.js";

/** @typedef {import("./data.js").Block} Block */

const BARS = 34;
/** @type {Set<HTMLAudioElement>} */
const playing = new Set();

/** @param {Block} block */
export function audioBlock(block) {
  const source = mediaUrl(block.url);
  const audio = el("audio", { preload: "none", src: source || null });
  const name = block.voice ? "voice message" : block.name || "audio";
  const button = el("button", { type: "button", class: "play", "aria-label": `Play ${name}` }, icon("play"));
  const seek = el("input", { type: "range", class: "seek", min: 0, max: 1000, value: 0, step: 1, "aria-label": `Position in ${name}` });
  const left = el("span", { class: "duration" }, length(block.duration_ms));
  const bars = block.voice ? waveform(block.url) : null;
  const track = el("span", { class: "track" }, bars, seek);
  const line = block.voice ? null : el("span", { class: "audio-name", dir: "auto" }, block.name || "Audio");
  const box = el("div", { class: block.voice ? "audio voice" : "audio" }, button, el("div", { class: "audio-body" }, line, track, left),
    el("span", { class: "audio-kind" }, icon(block.voice ? "mic" : "note")), audio);

  const total = () => (Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : (block.duration_ms ?? 0) / 1000);
  const show = () => {
    const part = total() ? audio.currentTime / total() : 0;
    seek.value = String(Math.round(part * 1000));
    box.style.setProperty("--played", `${part * 100}%`);
    bars?.querySelectorAll("rect").forEach((bar, index) => bar.classList.toggle("on", index / BARS < part));
    const shown = audio.paused && audio.currentTime === 0 ? total() * 1000 : audio.currentTime * 1000;
    left.textContent = length(shown);
    seek.setAttribute("aria-valuetext", `${length(audio.currentTime * 1000)} of ${length(total() * 1000)}`);
  };
  const swap = () => {
    button.replaceChildren(icon(audio.paused ? "play" : "pause"));
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${name}`);
    if (audio.paused) playing.delete(audio);
    else playing.add(audio);
  };
  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    for (const other of playing) other.pause();
    return audio.play().catch(() => failed(box, left));
  });
  seek.addEventListener("input", () => {
    if (audio.readyState === 0) audio.load();
    if (total()) audio.currentTime = (Number(seek.value) / 1000) * total();
    show();
  });
  for (const event of ["timeupdate", "loadedmetadata", "durationchange"]) audio.addEventListener(event, show);
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, swap);
  audio.addEventListener("error", () => failed(box, left));
  if (bars) readWave(source, bars);
  show();
  return box;
}

/** @param {HTMLElement} box @param {HTMLElement} left */
function failed(box, left) {
  box.classList.add("broken");
  left.textContent = "cannot be played here";
}

/** Minutes and seconds. @param {number|null} ms */
function length(ms) {
  const seconds = Math.round((ms ?? 0) / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Bars drawn from the address until the sound itself is known. @param {string} url */
function waveform(url) {
  let seed = 7;
  for (const letter of url) seed = (seed * 31 + letter.charCodeAt(0)) >>> 0;
  const bars = Array.from({ length: BARS }, (_, index) => {
    seed = (seed * 1103515245 + 12345) >>> 0;
    return svg("rect", { x: index * 4, width: 2.4, rx: 1.2, ...bar(0.15 + (0.5 * ((seed >>> 8) % 100)) / 100) });
  });
  return svg("svg", { class: "wave", viewBox: `0 0 ${BARS * 4} 24`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars);
}

/** @param {number} part 0…1 */
const bar = (part) => ({ y: (12 - Math.max(1.2, part * 11)).toFixed(2), height: (2 * Math.max(1.2, part * 11)).toFixed(2) });

/** @type {Map<string, Promise<number[]>>} */
const waves = new Map();

/** Draw the real wave, for sounds of this host only. @param {string} source @param {SVGElement} target */
function readWave(source, target) {
  if (!source || new URL(source, location.href).origin !== location.origin || !("OfflineAudioContext" in window)) return;
  const known = waves.get(source) ?? measure(source);
  waves.set(source, known);
  known.then((peaks) => {
    const rects = target.querySelectorAll("rect");
    peaks.forEach((peak, index) => Object.entries(bar(peak)).forEach(([name, value]) => rects[index].setAttribute(name, value)));
  }, () => undefined); // the drawn bars stay
}

/** @param {string} source @returns {Promise<number[]>} */
async function measure(source) {
  const answer = await fetch(source);
  if (!answer.ok) throw new Error(String(answer.status));
  const sound = await new OfflineAudioContext(1, 1, 22050).decodeAudioData(await answer.arrayBuffer());
  const samples = sound.getChannelData(0);
  const size = Math.max(1, Math.floor(samples.length / BARS));
  const peaks = Array.from({ length: BARS }, (_, index) =>
    Math.sqrt(samples.slice(index * size, (index + 1) * size).reduce((sum, value) => sum + value * value, 0) / size));
  const top = Math.max(...peaks) || 1;
  return peaks.map((peak) => peak / top);
}
