// <kurir-bubble channel="whatsapp">: one message as its app would draw it, without a phone around it.
//
// <kurir-bubble channel="whatsapp" business="Kopi Senja">
//   <script type="application/json">{"bubbles": [[…blocks…]], "at": "2026-11-23T06:00:00Z", "tick": "read"}</script>
// </kurir-bubble>
//
// The JSON is what sketching.as_json makes. It is data, which no policy takes for a script. Nothing in it can be pressed.

import { choiceControl, messageParts } from "./blocks.js";
import { channelName, el } from "./dom.js";

/** @typedef {import("./data.js").Block} Block */
/** @typedef {{bubbles: Block[][], at?: string, tick?: string}} Facts */

class KurirBubble extends HTMLElement {
  connectedCallback() {
    if (this.querySelector(".stage")) return;
    // A module runs when its page is parsed, and htmx swaps whole elements in: the child is there.
    const source = this.querySelector('script[type="application/json"]');
    /** @type {Facts} */
    let facts = { bubbles: [] };
    try {
      facts = { ...facts, ...JSON.parse(source?.textContent ?? "{}") };
    } catch {
      // what is no JSON shows nothing
    }
    this.classList.add("phones");
    this.append(this.drawn(facts));
  }

  /** @param {Facts} facts */
  drawn(facts) {
    const channel = this.getAttribute("channel") ?? "";
    const business = this.getAttribute("business") ?? "";
    const initial = [...business][0]?.toUpperCase() ?? "";
    const bubbles = Array.isArray(facts.bubbles) ? facts.bubbles : [];
    const rows = bubbles.map((blocks, index) => {
      const bubble = { id: "", at: facts.at ?? "", blocks, quoted: "", tick: facts.tick ?? "", status: 1, final: false, events: [], payload: {} };
      const chips = blocks.filter((block) => block.style === "chips").flatMap((block) => block.choices);
      const names = ["msg", index === 0 ? "first" : "", index === bubbles.length - 1 ? "last" : ""];
      return el("article", { class: names.filter(Boolean).join(" "), "aria-label": `${channelName(channel)}-style message${business ? ` from ${business}` : ""}` },
        el("div", { class: "line" }, el("span", { class: "avatar", "aria-hidden": "true" }, initial),
          el("div", { class: "stack" }, el("span", { class: "sender", "aria-hidden": "true" }, business), ...messageParts(bubble, channel),
            chips.length ? el("div", { class: "chips", role: "group", "aria-label": "Quick replies" }, ...chips.map((choice) => choiceControl(choice, "chip", channel))) : null)));
    });
    const log = el("div", { class: "log" }, ...rows);
    const all = bubbles.flat();
    let list = 0;
    for (const opener of /** @type {NodeListOf<HTMLElement>} */ (log.querySelectorAll("button.list-open"))) {
      const lists = all.filter((block) => block.kind === "list");
      opener.replaceWith(unfolded(opener, lists[list++], channel));
    }
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (log.querySelectorAll("button.choice"))) {
      const still = el("span", { class: button.className });
      still.append(...button.childNodes);
      button.replaceWith(still);
    }
    return el("div", { class: "stage alone", "data-channel": channel, hidden: rows.length === 0 }, el("div", { class: "screen" }, log));
  }
}

/** A list as it unfolds, in place of the button that opens its sheet. @param {HTMLElement} opener @param {Block|undefined} block @param {string} channel */
function unfolded(opener, block, channel) {
  const sections = (block?.sections ?? []).map((section) => el("div", { class: "sheet-section" },
    section.title ? el("p", { class: "unfolded-title", dir: "auto" }, section.title) : null,
    ...section.rows.map((row) => choiceControl(row, "row unfolded", channel))));
  const summary = el("summary", { class: "choice row" });
  summary.append(...opener.childNodes);
  return el("details", { class: "unfolded-list" }, summary, ...sections);
}

if (!customElements.get("kurir-bubble")) customElements.define("kurir-bubble", KurirBubble);
