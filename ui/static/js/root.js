/** Where the dashboard is: at the root of its address, or below a path at which a proxy shows it. */

const root = document.documentElement.dataset.root ?? "";

/** The address of a page, a call or a picture of ours. @param {string} path begins with a slash */
export const at = (path) => root + path;
