// The shell of the sandbox's own page: the theme (system, light or dark), kept in this browser. First of all, so that the page never flashes.

const KEY = "kurir-theme";

/** The chosen theme; "system" also when the browser keeps nothing. */
function chosen() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system";
  }
}

/** @param {string} theme */
function apply(theme) {
  document.documentElement.dataset.theme = theme;
}

apply(chosen());

/** Wire the three-way switch. @param {HTMLElement} group */
function wireTheme(group) {
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (group.querySelectorAll("input"))) {
    input.checked = input.value === chosen();
    input.addEventListener("change", () => {
      try {
        if (input.value === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, input.value);
      } catch {
        // a browser without storage still changes for this visit
      }
      apply(input.value);
    });
  }
}

const group = document.getElementById("theme");
if (group) wireTheme(group);
else addEventListener("DOMContentLoaded", () => wireTheme(/** @type {HTMLElement} */ (document.getElementById("theme"))));
