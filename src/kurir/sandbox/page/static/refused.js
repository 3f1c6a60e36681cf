// The calls that the platform refused: part of the sender's ledger, above the phone, since nothing of them is on it.

import { messageParts } from "./blocks.js";
import { channelName, clock, el, icon } from "./dom.js";

/** @typedef {import("./data.js").RefusedCall} RefusedCall */

/** One phone's refused calls, newest first; {@link element} hides itself while there is none. */
export class RefusedCalls {
  /** @param {string} channel @param {string} address the phone's, which is not said again in each row */
  constructor(channel, address) {
    this.channel = channel;
    this.address = address;
    this.count = el("span", { class: "refused-count" });
    this.newest = el("span", { class: "refused-newest", dir: "auto" });
    this.list = el("ol", { class: "refused-calls", tabindex: 0, "aria-label": `Calls that ${channelName(channel)} refused` });
    this.element = el("details", { class: "refused", hidden: true }, el("summary", {}, icon("tick-failed"), this.count, this.newest), this.list);
    this.drawn = "";
  }

  /** @param {RefusedCall[]} calls oldest first */
  show(calls) {
    const drawn = JSON.stringify(calls);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.element.hidden = calls.length === 0;
    const last = calls.at(-1);
    if (!last) this.element.open = false;
    this.count.textContent = calls.length === 1 ? "1 call refused" : `${calls.length} calls refused`;
    this.newest.textContent = last ? said(last) : "";
    this.list.replaceChildren(...[...calls].reverse().map((call) => this.row(call)));
  }

  /** @param {RefusedCall} call */
  row(call) {
    return el("li", {},
      el("time", { datetime: call.at }, clock(call.at, true)), " ", el("code", {}, call.method), call.to && call.to !== this.address ? ` to ${call.to}` : "",
      el("span", { class: "refused-words", dir: "auto" }, said(call), call.fault ? el("span", { class: "refused-fault" }, ` (fault ${call.fault})`) : null),
      call.blocks?.length ? this.bubble(call, call.blocks) : null);
  }

  /** What the call would have shown, with what is too long in it marked; nothing of it can be pressed. @param {RefusedCall} call @param {import("./data.js").Block[]} blocks */
  bubble(call, blocks) {
    const bubble = { id: "", at: call.at, blocks, quoted: "", tick: "failed", status: -1, final: true, events: [], payload: {} };
    return el("div", { class: "refused-bubble", inert: true },
      el("div", { class: "msg first last ghost" }, el("div", { class: "line" }, el("div", { class: "stack" }, ...messageParts(bubble, this.channel)))));
  }
}

/** What the platform answered, in its own words. @param {RefusedCall} call */
const said = (call) => `${call.status} ${call.words}`;
