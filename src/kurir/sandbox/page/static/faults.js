// What goes wrong on command: a choice of ready-made faults for a platform, and the bar that says which one is on.

import { channelName, el, icon, uniqueId } from "./dom.js";

/** @typedef {Record<string, unknown>} Profile what the sandbox takes at PUT /sandbox/faults/{channel} */

/** @type {{name: string, words: string, profile: Profile, channels?: string[]}[]} */
export const READY = [
  { name: "Slow", words: "every answer takes 2 to 4 s", profile: { latency: 2, jitter: 2 } },
  { name: "Errors", words: "1 message in 3 is refused with a passing error", profile: { errors: 0.33 } },
  { name: "429 storm", words: "2 messages in 3 are throttled, for 3 s each", profile: { throttle: 0.67, retry_after: 3 } },
  { name: "Time-outs", words: "every 2nd message gets no answer; half of these arrive", profile: { timeout_before: 0.25, timeout_after: 0.25, hold: 30 } },
  { name: "Cut answers", words: "every 2nd connection breaks, before or after the message arrived", profile: { cut_before: 0.2, cut_after: 0.2, half_body: 0.1 } },
  { name: "Outage", words: "every request is answered 503", profile: { outage: "503" } },
  { name: "Expired token", words: "every request is refused: the token is not valid", profile: { expired_token: true } },
  { name: "Blocked", words: "everybody has blocked the sender", profile: { blocked: 1 } },
  { name: "Monthly limit", words: "the month's messages are used up", profile: { quota: true }, channels: ["line"] },
  { name: "Webhooks doubled", words: "every webhook comes twice", profile: { webhooks: { duplicate: 1 } } },
  { name: "Webhooks mixed up", words: "webhooks come late and in the wrong order", profile: { webhooks: { delay: 3, reorder: 0.5 } } },
  { name: "Webhooks lost", words: "no webhook comes", profile: { webhooks: { drop: 1 } } },
];

const WORKS = "";
const OWN = "own";

/** One platform's faults: {@link select} to choose one, {@link bar} to see and clear it. */
export class FaultControl {
  /** @param {string} channel @param {(channel: string, profile: Profile|null) => Promise<void>} onFault null clears */
  constructor(channel, onFault) {
    this.channel = channel;
    this.onFault = onFault;
    this.ready = READY.filter((one) => !one.channels || one.channels.includes(channel));
    this.own = el("option", { value: OWN, hidden: true, disabled: true }, "Own profile");
    this.select = el("select", { "aria-label": `Fault on ${channelName(channel)}` },
      el("option", { value: WORKS }, "Works"), ...this.ready.map((one) => el("option", { value: one.name }, one.name)), this.own);
    this.label = el("label", { class: "fault-choice" }, icon("bolt"), this.select);
    const id = uniqueId("fault");
    this.words = el("span", { class: "fault-words", id });
    this.clear = el("button", { type: "button", class: "fault-clear", "aria-describedby": id }, "Clear");
    this.bar = el("div", { class: "fault-bar", role: "status", hidden: true }, icon("bolt"), this.words, this.clear);
    this.select.addEventListener("change", () => {
      const chosen = this.ready.find((one) => one.name === this.select.value);
      this.change(chosen ? chosen.profile : null);
    });
    this.clear.addEventListener("click", () => {
      this.select.focus(); // the button goes away with the bar
      this.change(null);
    });
    this.show(null, "");
  }

  /**
   * Ask for a change; what is shown follows the sandbox. Nothing is disabled meanwhile: that would take the focus away.
   * @param {Profile|null} profile
   */
  async change(profile) {
    try {
      await this.onFault(this.channel, profile);
    } catch {
      this.show(this.profile ?? null, this.said ?? "");
    }
  }

  /** Show the profile that is on, null for none; *own* is the sandbox's line for it. @param {Profile|null} profile @param {string} own */
  show(profile, own) {
    this.profile = profile;
    this.said = own;
    const known = profile && this.ready.find((one) => same(one.profile, profile));
    this.own.hidden = !profile || Boolean(known);
    this.select.value = !profile ? WORKS : known ? known.name : OWN;
    this.label.classList.toggle("on", Boolean(profile));
    this.bar.hidden = !profile;
    const end = profile?.seconds ? `, for ${profile.seconds} s` : "";
    const words = !profile ? "" : `${known ? `${known.name}: ${known.words}` : own}${end}`;
    if (this.words.textContent !== words) this.words.textContent = words;
  }
}

/** Whether two profiles break the same, however long and by whatever seed. @param {Profile} one @param {Profile} other */
const same = (one, other) => canonical({ ...one, seconds: 0, seed: 0 }) === canonical({ ...other, seconds: 0, seed: 0 });

/** @param {unknown} value @returns {string} */
function canonical(value) {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).sort().map(([name, inner]) => `${name}:${canonical(inner)}`).join()}}`;
}
