// What the phone's owner does: the line to type in, the sheet of what else can be sent, and the sheet of one message.

import { channelName, el, icon, uniqueId } from "./dom.js";
import { say } from "./sheet.js";

/** @typedef {import("./data.js").Act} Act */
/** @typedef {import("./data.js").Bubble} Bubble */
/** @typedef {import("./data.js").Phone} Phone */
/** @typedef {(act: Act, file?: File) => Promise<void>} OnAct */
/** @typedef {{label: string, symbol: string, act?: Act, pick?: {do: string, accept: string}, ask?: {do: string, label: string, hint: string}, channels?: string[]}} Offer */

const EMOJIS = ["👍", "❤️", "😆", "😮", "😢", "🙏"];

/** @type {Offer[]} */
const OFFERS = [
  { label: "Picture", symbol: "photo", act: { do: "image" } },
  { label: "Voice note", symbol: "mic", act: { do: "voice" } },
  { label: "Video", symbol: "play", act: { do: "video" } },
  { label: "Document", symbol: "doc", act: { do: "document" } },
  { label: "Sticker", symbol: "smile", act: { do: "sticker" } },
  { label: "Location", symbol: "pin", act: { do: "location", name: "Monas", address: "Jakarta", latitude: -6.175392, longitude: 106.827153 } },
  { label: "Live location", symbol: "pin", act: { do: "location", live: true }, channels: ["telegram", "whatsapp"] },
  { label: "Own phone number", symbol: "person", act: { do: "contact" }, channels: ["telegram", "whatsapp"] },
  { label: "Own picture…", symbol: "clip", pick: { do: "image", accept: "image/jpeg,image/png" } },
  { label: "Own file…", symbol: "clip", pick: { do: "document", accept: "" } },
  { label: "Deep link…", symbol: "out", ask: { do: "open", label: "Payload of the link", hint: "abc123" } },
];

/** The line at the foot of a phone. */
export class Composer {
  /** @param {Phone} phone @param {OnAct} onAct @param {(change: import("./data.js").Switches) => Promise<void>} onSwitch */
  constructor(phone, onAct, onSwitch) {
    this.phone = phone;
    this.onAct = onAct;
    this.onSwitch = onSwitch;
    this.replyTo = "";
    this.input = el("input", { class: "typed", type: "text", autocomplete: "off", enterkeyhint: "send", placeholder: "Message", "aria-label": `Message of ${phone.person} on ${channelName(phone.channel)}` });
    this.words = el("span", { class: "answering-words", dir: "auto" });
    this.answering = el("div", { class: "answering", hidden: true }, icon("reply"), this.words,
      el("button", { type: "button", class: "answering-end", "aria-label": "Answer nothing", onclick: () => this.answer(null) }, icon("close")));
    this.plus = el("button", { type: "button", class: "compose-key", "aria-label": "Send something else", "aria-haspopup": "dialog", onclick: () => this.offer() }, icon("plus"));
    this.send = el("button", { type: "submit", class: "compose-key send", "aria-label": "Send" }, icon("send"));
    this.picker = el("input", { type: "file", hidden: true, "aria-hidden": "true", tabindex: -1 });
    this.form = el("form", { class: "composer" }, this.plus, el("span", { class: "field" }, this.input), this.send, this.picker);
    this.element = el("div", { class: "compose" }, this.answering, this.form);
    this.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.type();
    });
    this.input.addEventListener("input", () => this.mark());
    this.picker.addEventListener("change", () => this.picked());
    this.mark();
  }

  mark() {
    this.form.classList.toggle("has-text", Boolean(this.input.value.trim()));
  }

  async type() {
    const text = this.input.value;
    if (!text.trim()) {
      this.input.focus();
      return;
    }
    try {
      await this.onAct({ do: "text", text, ...(this.replyTo ? { reply_to: this.replyTo } : {}) });
      this.input.value = "";
      this.answer(null);
      this.mark();
    } catch (error) {
      say(this.form, words(error));
    }
  }

  /** Answer *bubble* with what is typed next, null for none. @param {Bubble|null} bubble */
  answer(bubble) {
    this.replyTo = bubble?.id ?? "";
    this.answering.hidden = !bubble;
    this.words.textContent = bubble ? begins(bubble) : "";
    if (bubble) this.input.focus();
  }

  offer() {
    const offers = OFFERS.filter((one) => !one.channels || one.channels.includes(this.phone.channel));
    const rows = offers.map((one) => actionRow(one.symbol, one.label, () => this.take(one)));
    const way = this.phone.blocked ? "unblock" : "block";
    const label = this.phone.blocked ? `Unblock ${this.phone.business}` : `Block ${this.phone.business}`;
    rows.push(actionRow("block", label, () => this.onAct({ do: way })));
    if (this.phone.channel === "line") rows.push(actionRow("person", "Follow", () => this.onAct({ do: "follow" })));
    if (this.phone.channel === "telegram") rows.push(actionRow("play", "Press Start", () => this.onAct({ do: "follow" })));
    const here = this.phone.on_channel !== false;
    const name = channelName(this.phone.channel);
    rows.push(actionRow("out", here ? `Be on ${name} no more` : `Be on ${name} again`, () => this.onSwitch({ on_channel: !here })));
    openActions(this.plus, "Send something else", rows);
  }

  /** @param {Offer} offer */
  async take(offer) {
    if (offer.act) await this.onAct(offer.act);
    else if (offer.ask) askWords(this.plus, offer.ask, this.onAct);
    else if (offer.pick) {
      this.picker.accept = offer.pick.accept;
      this.picker.dataset.do = offer.pick.do;
      this.picker.value = "";
      this.picker.click();
    }
  }

  async picked() {
    const [file] = this.picker.files;
    if (!file) return;
    try {
      await this.onAct({ do: this.picker.dataset.do }, file);
    } catch (error) {
      say(this.form, words(error));
    }
  }
}

/**
 * What can be done with one message.
 * @param {HTMLElement} opener @param {Bubble} bubble @param {Phone} phone @param {OnAct} onAct @param {(bubble: Bubble) => void} onAnswer
 */
export function openMessage(opener, bubble, phone, onAct, onAnswer) {
  const rows = [];
  const message = bubble.id;
  if (!bubble.mine && phone.channel !== "line") {
    const keys = EMOJIS.map((emoji) => el("button", { type: "button", class: "emoji", "aria-label": `React with ${emoji}`, "aria-pressed": bubble.reaction === emoji, onclick: () => dismiss(() => onAct({ do: "react", message, emoji: bubble.reaction === emoji ? "" : emoji })) }, emoji));
    rows.push(el("div", { class: "emojis", role: "group", "aria-label": "React" }, ...keys));
  }
  rows.push(actionRow("reply", "Reply", () => onAnswer(bubble)));
  const isText = bubble.blocks[0]?.kind === "text";
  if (bubble.mine && isText && phone.channel !== "line") rows.push(actionRow("edit", "Edit…", () => askWords(opener, { do: "edit", label: "New text", hint: "", message, text: bubble.blocks[0].text }, onAct)));
  if (bubble.mine && bubble.blocks[0]?.title === "Live location") rows.push(actionRow("pin", "Move on", () => onAct({ do: "move", message, latitude: bubble.blocks[0].latitude + 0.001, longitude: bubble.blocks[0].longitude + 0.001 })));
  if (bubble.mine) rows.push(actionRow("close", phone.channel === "line" ? "Unsend" : "Delete", () => onAct({ do: "delete", message })));
  const { dismiss } = openActions(opener, bubble.mine ? "Own message" : "Message", rows);
}

/** @param {string} symbol @param {string} label @param {() => unknown} work */
function actionRow(symbol, label, work) {
  const row = el("button", { type: "button", class: "action" }, icon(symbol), el("span", {}, label));
  row.work = work;
  return row;
}

/** Ask for a line of words. @param {HTMLElement} opener @param {{do: string, label: string, hint: string, message?: string, text?: string}} ask @param {OnAct} onAct */
function askWords(opener, ask, onAct) {
  const input = el("input", { class: "asked", type: "text", placeholder: ask.hint || null, autocomplete: "off", value: ask.text ?? "" });
  const form = el("form", { class: "ask" }, el("label", {}, el("span", {}, ask.label), input), el("button", { type: "submit", class: "sheet-send" }, "Go"));
  const { dismiss } = openActions(opener, ask.label, [form], input);
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const more = ask.message ? { message: ask.message } : {};
    dismiss(() => onAct({ do: ask.do, text: input.value, ...more }));
  });
}

/**
 * Open a sheet of actions over the phone that holds *opener*.
 * @param {HTMLElement} opener @param {string} words @param {HTMLElement[]} rows @param {HTMLElement} [first] what gets the focus
 */
function openActions(opener, words, rows, first) {
  const screen = /** @type {HTMLElement} */ (opener.closest(".screen"));
  screen.querySelector("dialog.sheet")?.remove();
  screen.querySelector(".scrim")?.remove();
  const title = uniqueId("actions");
  const close = el("button", { type: "button", class: "sheet-close", "aria-label": "Close" }, icon("close"));
  const dialog = el("dialog", { class: "sheet actions", "aria-labelledby": title },
    el("div", { class: "sheet-head" }, close, el("h3", { id: title }, words)), el("div", { class: "sheet-actions" }, ...rows));
  const scrim = el("div", { class: "scrim" });
  const behind = [...screen.children].filter((child) => !child.classList.contains("toast"));
  const shut = () => {
    for (const child of behind) /** @type {HTMLElement} */ (child).inert = false;
    scrim.remove();
    dialog.remove();
  };
  const dismiss = async (/** @type {() => unknown} */ work) => {
    shut();
    if (opener.isConnected) opener.focus();
    try {
      await work();
    } catch (error) {
      say(screen.querySelector(".chat") ?? screen, wordsOf(error));
    }
  };
  for (const row of rows) if (row.work) row.addEventListener("click", () => dismiss(row.work));
  const cancel = () => dismiss(() => undefined);
  close.addEventListener("click", cancel);
  scrim.addEventListener("click", cancel);
  dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    cancel();
  });
  for (const child of behind) /** @type {HTMLElement} */ (child).inert = true;
  screen.append(scrim, dialog);
  dialog.show();
  (first ?? close).focus();
  return { dismiss };
}

/** How a message begins. @param {Bubble} bubble */
const begins = (bubble) => bubble.blocks.find((block) => block.text)?.text.slice(0, 80) ?? bubble.blocks[0]?.kind ?? "";

/** @param {unknown} error */
const wordsOf = (error) => (error instanceof Error ? error.message : String(error));
const words = wordsOf;
