// The data contract (the sandbox's view), and everything the page says to the server.

import { SANDBOX } from "./base.js";

/**
 * @typedef {{offset: number, length: number, style: string}} Span offsets in UTF-16 units, as JavaScript counts
 * @typedef {{title: string, payload: string, url: string, description: string,
 *   length?: number, limit?: number}} Choice
 * @typedef {{title: string, rows: Choice[]}} Section
 * @typedef {{kind: string, text: string, role: string, spans: Span[], url: string, poster: string, name: string,
 *   size: number|null, mime_type: string, voice: boolean, duration_ms: number|null, latitude: number,
 *   longitude: number, title: string, style: string, label: string, choices: Choice[], sections: Section[],
 *   cards: Block[][], length?: number, limit?: number}} Block
 * @typedef {{at: string, status: number, what: string, answer: string}} LedgerEvent
 * @typedef {{id: string, at: string, blocks: Block[], quoted: string, quoted_words?: string, held?: boolean, tick: string, status: number, final: boolean,
 *   events: LedgerEvent[], payload: Record<string, unknown>, mine?: boolean, reaction?: string, edited?: boolean,
 *   gone?: boolean, waiting?: string}} Bubble
 * @typedef {Record<string, unknown>} Act what a person does: POST /sandbox/phones/{channel}/{address}/acts
 * @typedef {{at: string, method: string, status: number, words: string, to: string, fault: string, blocks?: Block[]}} RefusedCall
 * @typedef {{online?: boolean, chat_open?: boolean, receipts?: boolean, on_channel?: boolean}} Switches
 * @typedef {{channel: string, person: string, address: string, business: string, online: boolean,
 *   chat_open: boolean, receipts?: boolean, on_channel?: boolean, bubbles: Bubble[], refused?: RefusedCall[], blocked?: boolean, closed?: boolean, ahead?: number,
 *   notice?: string, notices?: number, chips?: Choice[], chips_of?: string}} Phone
 * @typedef {{data: Record<string, Record<string, unknown>|null>, words: Record<string, string>, left_seconds: Record<string, number>}} Faults by channel
 */

const ORDER = ["whatsapp", "telegram", "line", "messenger"];
const MEDIA_HOST = "media.sandbox.invalid";
/** A sandbox for load tests has thousands of people; the page shows the first ones. */
const PEOPLE = 20;

/** One phone's key among all. @param {Phone} phone */
export const keyOf = (phone) => `${phone.channel}/${phone.address}`;

/** Phones in the page's order of channels. @param {Phone[]} phones */
export function inOrder(phones) {
  const place = (/** @type {Phone} */ phone) => (ORDER.indexOf(phone.channel) + ORDER.length + 1) % (ORDER.length + 1);
  return [...phones].sort((one, other) => place(one) - place(other));
}

/** The people who have phones, in the server's order. @param {Iterable<Phone>} phones @returns {string[]} */
export const people = (phones) => [...new Set([...phones].map((phone) => phone.person))];

/** Where a medium is fetched from: the sandbox's reserved host lives here. @param {string} url */
export function mediaUrl(url) {
  if (url.startsWith("/sandbox/media/")) return SANDBOX + url.slice("/sandbox".length);
  try {
    const parsed = new URL(url, location.href);
    if (parsed.hostname === MEDIA_HOST) return `${SANDBOX}/media${parsed.pathname}`;
    return ["http:", "https:"].includes(parsed.protocol) && url ? parsed.href : "";
  } catch {
    return "";
  }
}

/** @returns {Promise<Phone[]>} */
export async function fetchPhones() {
  const answer = await fetch(`${SANDBOX}/phones?people=${PEOPLE}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`The sandbox answered ${answer.status}.`);
  return (await answer.json()).data;
}

/** The ready command for an empty sandbox, or "". */
export async function fetchHint() {
  try {
    const answer = await fetch(`${SANDBOX}/hint`, { headers: { accept: "application/json" } });
    if (!answer.ok) return "";
    const body = await answer.json();
    return String(body.curl ?? body.data?.curl ?? "");
  } catch {
    return "";
  }
}

/** @param {Phone} phone @param {Switches} change */
export async function changePhone(phone, change) {
  const path = [phone.channel, phone.address].map(encodeURIComponent).join("/");
  await post(`${SANDBOX}/phones/${path}`, change);
}

/**
 * Let the phone's owner do something; *file* is sent first.
 * @param {Phone} phone @param {Act} act @param {File} [file]
 */
export async function doAct(phone, act, file) {
  const path = [phone.channel, phone.address].map(encodeURIComponent).join("/");
  const more = file ? { file: await upload(file) } : {};
  await post(`${SANDBOX}/phones/${path}/acts`, { ...act, ...more });
}

/** @param {File} file @returns {Promise<string>} its id */
async function upload(file) {
  const headers = file.type ? { "content-type": file.type } : {};
  const answer = await fetch(`${SANDBOX}/files?name=${encodeURIComponent(file.name)}`, { method: "POST", headers, body: file });
  if (!answer.ok) throw new Error(await detail(answer));
  return (await answer.json()).data.file;
}

/** Let so many seconds pass on the platforms. @param {number} seconds */
export const moveClock = (seconds) => post(`${SANDBOX}/clock`, { move: seconds });

/** @returns {Promise<Faults>} */
export async function fetchFaults() {
  const answer = await fetch(`${SANDBOX}/faults`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`The sandbox answered ${answer.status}.`);
  return answer.json();
}

/** Set a channel's faults; null clears them. @param {string} channel @param {Record<string, unknown>|null} profile @returns {Promise<Faults>} */
export async function changeFault(channel, profile) {
  const body = profile ? { headers: { "content-type": "application/json" }, body: JSON.stringify(profile) } : {};
  const answer = await fetch(`${SANDBOX}/faults/${encodeURIComponent(channel)}`, { method: profile ? "PUT" : "DELETE", ...body });
  if (!answer.ok) throw new Error(`The sandbox answered ${answer.status}.`);
  return answer.json();
}

/** Where the transcript of a person is, to be saved. @param {string} person */
export const transcriptUrl = (person) => `${SANDBOX}/transcript?${new URLSearchParams({ person })}`;

/**
 * Empty the phones and play a transcript on them, at most so many seconds between two steps.
 * @param {string} transcript @param {number} pause @returns {Promise<{played: number, refused: string[]}>}
 */
export async function replay(transcript, pause) {
  const answer = await fetch(`${SANDBOX}/replay?pause=${pause}`, { method: "POST", headers: { "content-type": "application/json" }, body: transcript });
  if (!answer.ok) throw new Error(await detail(answer));
  return (await answer.json()).data;
}

/** Empty every phone. */
export const resetSandbox = () => post(`${SANDBOX}/reset`, {});

/** @param {string} path @param {unknown} body */
async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await detail(answer));
}

/** What the sandbox says of a refusal. @param {Response} answer */
async function detail(answer) {
  try {
    return String((await answer.json()).detail);
  } catch {
    return `The sandbox answered ${answer.status}.`;
  }
}

/**
 * Follow the stream for ever. *onState* hears live and reconnecting; after each gap *onOpen* lets the page fetch anew.
 * @param {{onPhone: (phone: Phone) => void, onFaults: (faults: Faults) => void, onState: (state: "live"|"reconnecting") => void, onOpen: () => void}} listener
 */
export function follow(listener) {
  let wait = 500;
  const open = () => {
    const source = new EventSource(`${SANDBOX}/events?people=${PEOPLE}`);
    source.addEventListener("open", () => {
      wait = 500;
      listener.onState("live");
      listener.onOpen();
    });
    source.addEventListener("phone", (event) => listener.onPhone(JSON.parse(event.data)));
    source.addEventListener("faults", (event) => listener.onFaults(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      listener.onState("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 8000);
    });
  };
  open();
}
