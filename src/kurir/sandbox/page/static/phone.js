// One phone with its ledger: built once, then brought up to date bubble by bubble.

import { choiceControl, messageParts } from "./blocks.js";
import { Composer, openMessage } from "./composer.js";
import { channelName, clock, el, icon, uniqueId } from "./dom.js";
import { FaultControl } from "./faults.js";
import { align, entry, ledgerToEnd, scrollTogether } from "./ledger.js";
import { RefusedCalls } from "./refused.js";
import { say } from "./sheet.js";

/** @typedef {import("./data.js").Phone} Phone */
/** @typedef {import("./data.js").Bubble} Bubble */
/** @typedef {{row: HTMLElement, entry: HTMLElement, drawn: string, known: string}} Kept */

const RUN_MS = 5 * 60_000;
const TICK_WORDS = /** @type {Record<string, string>} */ ({ clock: "pending", sent: "sent", delivered: "delivered", read: "read", failed: "failed" });
const TELLS_DELIVERY = ["whatsapp", "messenger"];
const HINTS = /** @type {Record<string, string>} */ ({ telegram: "bot", line: "", whatsapp: "business account", messenger: "page" });

/** A phone on the page. */
export class PhoneView {
  /**
   * @param {Phone} phone
   * @param {(phone: Phone, change: import("./data.js").Switches) => Promise<void>} onSwitch
   * @param {(channel: string, profile: Record<string, unknown>|null) => Promise<void>} onFault
   * @param {(phone: Phone, act: import("./data.js").Act, file?: File) => Promise<void>} onAct
   */
  constructor(phone, onSwitch, onFault, onAct) {
    this.phone = phone;
    /** @type {Map<string, Kept>} */
    this.kept = new Map();
    this.atEnd = true;
    this.started = false;
    /** @type {"customer"|"business"} */
    this.side = "customer";
    this.onSwitch = onSwitch;
    /** @param {import("./data.js").Act} act @param {File} [file] */
    this.act = (act, file) => onAct(this.phone, act, file);
    this.notices = phone.notices ?? 0;
    this.composer = new Composer(phone, this.act, (change) => onSwitch(this.phone, change));
    this.faults = new FaultControl(phone.channel, onFault);
    this.refused = new RefusedCalls(phone.channel, phone.address);
    this.build();
    this.update(phone);
    this.started = true;
  }

  build() {
    const { phone } = this;
    const title = uniqueId("phone");
    this.online = this.switch("Online", "online");
    this.open = this.switch("Chat open", "chat_open");
    this.receipts = phone.channel === "whatsapp" ? this.switch("Receipts", "receipts") : null;
    this.avatar = el("span", { class: "avatar", "aria-hidden": "true" });
    this.name = el("strong", { dir: "auto" });
    this.presence = el("span", { class: "presence" });
    this.clock = el("span", { class: "now" });
    this.network = el("span", { class: "network" });
    this.banner = el("p", { class: "banner", role: "status" });
    this.log = el("div", { class: "log" });
    this.chat = el("div", { class: "chat", role: "log", tabindex: 0, "aria-label": `${phone.person}'s chat with ${phone.business}, ${channelName(phone.channel)}-style` }, this.log);
    this.jump = el("button", { type: "button", class: "jump", hidden: true, "aria-label": "To the newest message", onclick: () => this.toEnd() }, icon("down"));
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Quick replies", hidden: true });
    this.entries = el("ol", { class: "entries" });
    this.silent = el("p", { class: "ledger-empty" }, "What the sender learns stands here.");
    this.ledger = el("aside", { class: "ledger", "aria-label": `Sender's ledger, ${channelName(phone.channel)}` },
      el("h3", { class: "ledger-title" }, el("span", {}, "Sender's "), el("span", {}, "ledger")), this.silent,
      el("div", { class: "entries-scroll", tabindex: 0, role: "group", "aria-label": "Ledger entries" }, this.entries));
    this.element = el("section", { class: "stage", "data-channel": phone.channel, "aria-labelledby": title },
      el("header", { class: "stage-head" },
        el("h2", { id: title }, el("span", { class: "swatch", "aria-hidden": "true" }), `${channelName(phone.channel)}-style`, el("span", { class: "preview" }, " preview")),
        el("span", { class: "address", title: phone.address }, phone.address),
        el("div", { class: "switches" }, this.online.label, this.open.label, this.receipts?.label, this.faults.label), this.faults.bar, this.refused.element),
      el("div", { class: "stage-body" }, el("div", { class: "frame" }, el("div", { class: "phone" }, this.screen())), this.ledger));

    this.element.addEventListener("press", (/** @type {CustomEvent} */ event) => this.press(event));
    this.chat.addEventListener("scroll", () => this.noteScroll(), { passive: true });
    scrollTogether(this.chat, this.ledger);
    this.watcher = new ResizeObserver(() => this.settle());
    for (const watched of [this.log, this.chat, this.ledger]) this.watcher.observe(watched);
    this.tellTime();
  }

  screen() {
    return el("div", { class: "screen" },
      el("div", { class: "status-bar", "aria-hidden": "true" }, this.clock, this.network),
      el("div", { class: "app-bar" }, icon("back"), this.avatar, el("div", { class: "who" }, this.name, this.presence), icon("more")),
      this.banner, this.chat, this.jump, this.chips,
      this.composer.element, el("p", { class: "sent-by-api" }, "This side writes through the API"),
      el("div", { class: "toast", role: "status" }));
  }

  /** A choice was tapped: on a bubble, or among the quick replies. @param {CustomEvent} event */
  async press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const message = target.closest("article")?.dataset.id ?? this.phone.chips_of ?? "";
    const choice = event.detail;
    try {
      await this.act({ do: "press", message, choice: choice.title, payload: choice.payload });
    } catch (error) {
      say(this.chat, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {string} words @param {"online"|"chat_open"|"receipts"} field */
  switch(words, field) {
    const input = el("input", { type: "checkbox", role: "switch" });
    input.addEventListener("change", async () => {
      input.disabled = true;
      try {
        await this.onSwitch(this.phone, { [field]: input.checked });
      } catch {
        input.checked = this.phone[field] ?? true;
      } finally {
        input.disabled = false;
      }
    });
    return { input, label: el("label", { class: "switch" }, input, el("span", { class: "knob", "aria-hidden": "true" }), words) };
  }

  /** Bring the phone up to date. @param {Phone} phone */
  update(phone) {
    this.phone = phone;
    this.online.input.checked = phone.online;
    this.open.input.checked = phone.chat_open;
    if (this.receipts) this.receipts.input.checked = phone.receipts ?? true;
    this.element.classList.toggle("is-offline", !phone.online);
    this.element.classList.toggle("is-closed", !phone.chat_open);
    this.network.replaceChildren(icon(phone.online ? "signal" : "offline"), icon("battery"));
    this.presence.textContent = this.side === "business" ? "customer" : (HINTS[phone.channel] ?? "");
    this.name.textContent = this.other();
    this.avatar.textContent = initialOf(this.other());
    const banner = bannerOf(phone);
    this.composer.phone = phone;
    if ((phone.notices ?? 0) > this.notices && phone.notice) say(this.chat, phone.notice);
    this.notices = phone.notices ?? 0;
    if (this.banner.textContent !== banner) this.banner.textContent = banner;
    this.refused.show(phone.refused ?? []);
    this.updateBubbles();
    this.updateChips();
    this.settle();
  }

  /** Show the chat from one side: what the customer has on the phone, or what the business would have. @param {"customer"|"business"} side */
  show(side) {
    if (side === this.side) return;
    this.side = side;
    this.element.classList.toggle("is-business", side === "business");
    for (const one of this.kept.values()) one.row.remove();
    this.update(this.phone);
  }

  /** Who is at the other end of the chat. */
  other() {
    return this.side === "business" ? this.phone.person : this.phone.business;
  }

  /** Whether the side that is shown wrote *bubble*. @param {Bubble} bubble */
  isOwn(bubble) {
    return Boolean(bubble.mine) === (this.side === "customer");
  }

  updateBubbles() {
    const { phone } = this;
    const seen = new Set();
    /** @type {Kept[]} */
    const kept = phone.bubbles.map((bubble) => {
      let key = bubble.id;
      while (seen.has(key)) key += "+";
      seen.add(key);
      const one = this.keep(key, bubble);
      this.kept.set(key, one);
      return one;
    });
    for (const [key, one] of this.kept) {
      if (seen.has(key)) continue;
      one.row.remove();
      one.entry.remove();
      this.kept.delete(key);
    }
    this.arrange(kept.map((one) => one.row));
    inPlace(this.entries, kept.map((one) => one.entry));
    this.silent.hidden = kept.length > 0;
    this.ledger.classList.toggle("is-empty", kept.length === 0);
  }

  /** @param {string} key @param {Bubble} bubble @returns {Kept} */
  keep(key, bubble) {
    const before = this.kept.get(key);
    const own = this.isOwn(bubble);
    const drawn = JSON.stringify([this.side, own && bubble.tick, bubble.blocks, bubble.quoted, bubble.at, bubble.reaction, bubble.edited, bubble.gone]);
    const known = JSON.stringify([bubble.tick, bubble.status, bubble.final, bubble.events]);
    const row = before?.drawn === drawn ? before.row : this.row(bubble);
    if (before && before.row !== row) before.row.remove();
    if (!before && this.started) row.classList.add("arrive");
    const from = bubble.mine ? this.phone.person : `${this.phone.business}`;
    row.setAttribute("aria-label", `From ${from}, ${clock(bubble.at)}, ${TICK_WORDS[bubble.tick] ?? bubble.tick}`);
    this.fate(row, bubble);
    for (const key of /** @type {NodeListOf<HTMLElement>} */ (row.querySelectorAll("button.choice"))) {
      key.classList.toggle("waiting", Boolean(bubble.waiting) && key.dataset.title === bubble.waiting);
    }
    if (before?.known === known) return { row, entry: before.entry, drawn, known };
    const made = entry(bubble, this.phone);
    const focused = before?.entry.contains(document.activeElement);
    before?.entry.replaceWith(made);
    if (before) made.classList.add("changed");
    if (focused) made.querySelector("button")?.focus();
    made.addEventListener("mouseenter", () => row.classList.add("pointed"));
    made.addEventListener("mouseleave", () => row.classList.remove("pointed"));
    return { row, entry: made, drawn, known };
  }

  /** @param {Bubble} bubble */
  row(bubble) {
    if (bubble.blocks[0]?.kind === "note") {
      return el("article", { class: "msg noted", "data-id": bubble.id }, el("p", { class: "day" }, el("span", {}, bubble.blocks[0].text)), el("p", { class: "fate", hidden: true }));
    }
    const more = bubble.gone || this.side === "business" ? null : el("button", {
      type: "button",
      class: "msg-more",
      "aria-haspopup": "dialog",
      "aria-label": `What to do with the message of ${clock(bubble.at)}`,
      onclick: (/** @type {Event} */ event) => openMessage(/** @type {HTMLElement} */ (event.currentTarget), this.now(bubble), this.phone, this.act, (one) => this.composer.answer(one)),
    }, icon("more"));
    const marks = [bubble.edited ? "edited" : "", bubble.reaction ?? ""].filter(Boolean).join(" ");
    const marked = marks ? el("span", { class: "reaction", "aria-label": `Marked: ${marks}` }, marks) : null;
    if (this.isOwn(bubble)) {
      return el("article", { class: "msg mine", "data-id": bubble.id }, el("div", { class: "line" },
        el("div", { class: "stack" }, ...messageParts(bubble, this.phone.channel, true), marked, el("p", { class: "fate", hidden: true })), more));
    }
    return el("article", { class: "msg", "data-id": bubble.id }, el("div", { class: "line" },
      el("span", { class: "avatar", "aria-hidden": "true" }, initialOf(this.other())),
      el("div", { class: "stack" }, el("span", { class: "sender", "aria-hidden": "true" }, this.other()), ...messageParts(bubble, this.phone.channel), marked,
        el("p", { class: "fate", hidden: true })), more));
  }

  /** The newest state of a bubble. @param {Bubble} bubble */
  now(bubble) {
    return this.phone.bubbles.find((one) => one.id === bubble.id) ?? bubble;
  }

  /** What did not reach the phone is drawn as such. @param {HTMLElement} row @param {Bubble} bubble */
  fate(row, bubble) {
    const words = this.fateWords(bubble);
    const line = /** @type {HTMLElement} */ (row.querySelector(".fate"));
    line.textContent = words;
    line.hidden = !words;
    row.classList.toggle("ghost", Boolean(words));
  }

  /** @param {Bubble} bubble */
  fateWords(bubble) {
    if (this.side === "business") return this.ladderWords(bubble);
    if (bubble.mine) return bubble.tick === "clock" ? "Not sent yet: the phone is offline" : "";
    if (bubble.tick === "failed") return "Not on this phone: it failed";
    if (bubble.tick === "clock") return "Not on this phone yet: on its way";
    if (bubble.held) return "Not on this phone yet: it is offline";
    if (bubble.tick === "sent" && !this.phone.online && TELLS_DELIVERY.includes(this.phone.channel)) return "Not on this phone yet: it is offline";
    return "";
  }

  /** What the business has to know beside its ticks: why it failed, and where a ladder ends. @param {Bubble} bubble */
  ladderWords(bubble) {
    if (bubble.mine) return "";
    if (bubble.tick === "failed") return bubble.events.at(-1)?.what ?? "failed";
    return "";
  }

  /** Put the rows in order, mark runs, set the lines between them. @param {HTMLElement[]} rows */
  arrange(rows) {
    const { bubbles, channel } = this.phone;
    /** @type {HTMLElement[]} */
    const wanted = [];
    const at = bubbles.map((bubble) => new Date(bubble.at));
    rows.forEach((row, index) => {
      const side = (/** @type {number} */ place) => Boolean(bubbles[place]?.mine) === Boolean(bubbles[index].mine);
      const newDay = index === 0 || at[index].toDateString() !== at[index - 1].toDateString();
      const begins = newDay || !side(index - 1) || +at[index] - +at[index - 1] > RUN_MS;
      const ends = index === rows.length - 1 || !side(index + 1) || +at[index + 1] - +at[index] > RUN_MS || at[index + 1].toDateString() !== at[index].toDateString();
      row.classList.toggle("first", begins);
      row.classList.toggle("last", ends);
      const words = channel === "messenger" ? (newDay || (begins && side(index - 1)) || index === 0) && `${newDay ? `${day(at[index], this.phone.ahead)}, ` : ""}${clock(bubbles[index].at)}` : newDay && day(at[index], this.phone.ahead);
      if (words) wanted.push(el("p", { class: "day" }, el("span", {}, words)));
      wanted.push(row);
    });
    if (!rows.length) wanted.push(el("p", { class: "nothing" }, "No messages yet"));
    for (const child of [...this.log.children]) if (!child.matches("article")) child.remove();
    inPlace(this.log, wanted);
  }

  updateChips() {
    const shown = this.side === "business" ? [] : (this.phone.chips ?? []);
    const drawn = JSON.stringify(shown);
    if (this.drawnChips === drawn) return;
    this.drawnChips = drawn;
    this.chips.hidden = shown.length === 0;
    this.chips.replaceChildren(...shown.map((choice) => choiceControl(choice, "chip", this.phone.channel)));
  }

  /** After anything changed its size: entries to their bubbles, the end in view if it was. */
  settle() {
    cancelAnimationFrame(this.frame ?? 0);
    this.frame = requestAnimationFrame(() => {
      align(this.chat, this.ledger);
      if (this.atEnd) this.toEnd();
      else this.noteScroll();
    });
  }

  toEnd() {
    this.chat.scrollTop = this.chat.scrollHeight;
    ledgerToEnd(this.ledger);
    this.noteScroll();
  }

  noteScroll() {
    this.atEnd = this.chat.scrollHeight - this.chat.scrollTop - this.chat.clientHeight < 48;
    this.jump.hidden = this.atEnd;
  }

  tellTime() {
    this.clock.textContent = clock(new Date(Date.now() + (this.phone.ahead ?? 0) * 1000).toISOString());
  }

  remove() {
    this.watcher?.disconnect();
    cancelAnimationFrame(this.frame ?? 0);
    this.element.remove();
  }
}

/** Make *parent* hold *wanted* in order, moving as little as possible. @param {HTMLElement} parent @param {HTMLElement[]} wanted */
function inPlace(parent, wanted) {
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

/** @param {Phone} phone */
function bannerOf(phone) {
  if (phone.on_channel === false) return `${phone.person} is not on ${channelName(phone.channel)}`;
  if (phone.blocked) return `${phone.person} ${phone.channel === "line" ? "does not follow" : "blocked"} ${phone.business}`;
  if (!phone.online) return "Phone offline: messages wait at the platform";
  if (!phone.chat_open) return "Chat closed: messages stay unread";
  return phone.closed ? `24 hours since ${phone.person} wrote: the window is closed` : "";
}

/** @param {Date} date @param {number} [ahead] seconds that the phone's clock is ahead */
function day(date, ahead = 0) {
  const today = new Date(Date.now() + ahead * 1000);
  if (date.toDateString() === today.toDateString()) return "Today";
  today.setDate(today.getDate() - 1);
  if (date.toDateString() === today.toDateString()) return "Yesterday";
  return new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric" }).format(date);
}

/** @param {string} name */
const initialOf = (name) => [...name][0]?.toUpperCase() ?? "?";
