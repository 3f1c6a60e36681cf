// What opens or flashes inside a phone: the list's sheet, the presses of choices, and a note at the foot.

import { el, icon, uniqueId } from "./dom.js";

/** @typedef {import("./data.js").Block} Block */

/** Tell the phone that holds *inside* that a choice was tapped. @param {Element} inside @param {import("./data.js").Choice} choice */
export const press = (inside, choice) => inside.dispatchEvent(new CustomEvent("press", { bubbles: true, detail: choice }));

/** Say *words* in the phone that holds *inside*. @param {Element} inside @param {string} words */
export function say(inside, words) {
  const toast = inside.closest(".screen")?.querySelector(".toast");
  if (toast instanceof HTMLElement) flash(toast, words);
}

/** @param {HTMLElement} toast @param {string} words */
export function flash(toast, words) {
  toast.textContent = words;
  toast.classList.add("shown");
  clearTimeout(Number(toast.dataset.timer));
  toast.dataset.timer = String(setTimeout(() => {
    toast.classList.remove("shown");
    toast.textContent = "";
  }, 5000));
}

/** Open the list of *block* over the phone that holds *opener*. @param {HTMLElement} opener @param {Block} block */
export function openSheet(opener, block) {
  const screen = /** @type {HTMLElement} */ (opener.closest(".screen"));
  const title = uniqueId("sheet");
  const group = uniqueId("rows");
  /** @type {import("./data.js").Choice|undefined} */
  let picked;
  const send = el("button", { type: "submit", class: "sheet-send", disabled: true }, "Send");
  const form = el("form", { class: "sheet-form" },
    el("div", { class: "sheet-rows", tabindex: 0, role: "group", "aria-labelledby": title },
      ...block.sections.map((section) => sectionRows(section, group, (row) => { picked = row; send.disabled = false; }))),
    el("div", { class: "sheet-foot" }, send));
  const close = el("button", { type: "button", class: "sheet-close", "aria-label": "Close the list" }, icon("close"));
  const dialog = el("dialog", { class: "sheet", "aria-labelledby": title },
    el("div", { class: "sheet-head" }, close, el("h3", { id: title, dir: "auto" }, block.label || block.title || "Options")), form);
  const scrim = el("div", { class: "scrim" });
  const behind = [...screen.children].filter((child) => !child.classList.contains("toast"));

  const shut = () => dialog.close();
  dialog.addEventListener("close", () => {
    for (const child of behind) /** @type {HTMLElement} */ (child).inert = false;
    scrim.remove();
    dialog.remove();
    if (opener.isConnected) opener.focus();
  });
  dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") shut();
  });
  close.addEventListener("click", shut);
  scrim.addEventListener("click", shut);
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    shut();
    if (picked) press(opener, picked);
  });
  for (const child of behind) /** @type {HTMLElement} */ (child).inert = true;
  screen.append(scrim, dialog);
  dialog.show();
  close.focus();
}

/** @param {import("./data.js").Section} section @param {string} group @param {(row: import("./data.js").Choice) => void} onPick */
function sectionRows(section, group, onPick) {
  return el("fieldset", { class: "sheet-section" },
    section.title ? el("legend", { dir: "auto" }, section.title) : null,
    ...section.rows.map((row) => el("label", { class: "sheet-row" },
      el("span", { class: "sheet-words" }, el("span", { class: "sheet-title", dir: "auto" }, row.title),
        row.description ? el("span", { class: "sheet-description", dir: "auto" }, row.description) : null),
      el("input", { type: "radio", name: group, onchange: () => onPick(row) }))));
}
