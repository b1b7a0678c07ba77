/** Keys that work on every page: `/` searches. Others are added by the page. */

/** @type {Map<string, (event: KeyboardEvent) => void>} */
const keys = new Map();

/** Whether keys belong to what is written in. @param {EventTarget | null} target */
export function isWriting(target) {
  const element = /** @type {HTMLElement | null} */ (target);
  return Boolean(element?.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog[open]"));
}

/**
 * Call `act` when `key` (as KeyboardEvent.key has it) is pressed outside of fields and dialogs, without Ctrl, Alt, Meta.
 * @param {string} key
 * @param {(event: KeyboardEvent) => void} act
 */
export function onKey(key, act) {
  keys.set(key, act);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isWriting(event.target)) return;
  keys.get(event.key)?.(event);
});

onKey("/", (event) => {
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("input[type=search]"));
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});
