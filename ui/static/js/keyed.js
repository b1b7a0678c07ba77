/** Lists that change without flicker: an element lives as long as its item does. */

/** @type {WeakMap<Element, Map<string, any>>} */
const kept = new WeakMap();

/**
 * Make `container` show `items` in their order.
 * @template T, E
 * @param {Element} container
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => E & {root: HTMLElement, leave?: () => void}} make
 * @param {(entry: E & {root: HTMLElement}, item: T) => void} update
 */
export function reconcile(container, items, keyOf, make, update) {
  const before = kept.get(container) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!after.has(key)) after.set(key, before.get(key) ?? make(item));
    update(after.get(key), item);
  }
  for (const [key, entry] of before) {
    if (after.has(key)) continue;
    entry.leave?.();
    entry.root.remove();
  }
  let place = container.firstElementChild;
  for (const { root } of after.values()) {
    // Elements that stand right stay put: moving one would take the focus from it.
    if (root === place) place = place.nextElementSibling;
    else container.insertBefore(root, place);
  }
  kept.set(container, after);
}
