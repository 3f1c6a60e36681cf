// Where the sandbox is, for a page of any origin's path: every address of the phones begins here.

/** The path under which this very file's sandbox is mounted: "" for a sandbox at the root of its origin. */
const OWN = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** `<meta name="kurir-sandbox" content="/console/sandbox">` says otherwise, where the files are served from elsewhere. */
const said = document.querySelector('meta[name="kurir-sandbox"]')?.getAttribute("content")?.replace(/\/$/, "");

/** The base of all addresses, without a slash at its end. */
export const BASE = said ?? OWN;

/** The sandbox's own path, as its page and tests write it. */
export const SANDBOX = `${BASE}/sandbox`;

/** The symbols, beside this file. */
export const ICONS = new URL("icons.svg", import.meta.url).pathname;
