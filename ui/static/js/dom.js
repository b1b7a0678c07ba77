/** Touching the page: only what changed, and data only as text. */

/** @typedef {Record<string, any>} Parts  elements by their `data-part` */

/** @param {ParentNode} root @returns {Parts} */
export function partsOf(root) {
  /** @type {Parts} */
  const found = {};
  for (const part of root.querySelectorAll("[data-part]")) found[/** @type {HTMLElement} */ (part).dataset.part ?? ""] = part;
  return found;
}

/**
 * A copy of a <template>'s one element.
 * @param {string} id
 * @returns {{root: HTMLElement, parts: Parts}}
 */
export function stamp(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  const copy = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  const root = /** @type {HTMLElement} */ (copy.firstElementChild);
  return { root, parts: { ...partsOf(root), root } };
}

/** @param {Node} node @param {string} value */
export function setText(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** @param {HTMLElement} node @param {boolean} on */
export function show(node, on) {
  if (node.hidden === on) node.hidden = !on;
}

/** A sentence that is shown only when there is one. @param {HTMLElement} node @param {string | null | undefined} value */
export function say(node, value) {
  setText(node, value ?? "");
  show(node, Boolean(value));
}

/** @param {Element} node @param {string} name @param {string} value */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Tell those who listen instead of look. @param {string} words */
export function speak(words) {
  const region = document.getElementById("spoken");
  if (region) region.textContent = words;
}
