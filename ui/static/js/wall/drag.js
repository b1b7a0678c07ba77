/** Arranging the wall by dragging its tiles by their captions. */

import { keyOf } from "./tiles.js";

const HOLD = 250; // ms for which a finger rests before it drags: else it scrolls

/** @param {import("./tiles.js").Tiles} tiles */
export function letDrag(tiles) {
  // Loaded as a classic script; without it the wall is arranged by keys.
  /** @type {any} */ (window).Sortable?.create(tiles.list, {
    draggable: ".tile",
    handle: ".caption",
    filter: "button",
    preventOnFilter: false,
    animation: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 150,
    delay: HOLD,
    delayOnTouchOnly: true,
    ghostClass: "dragged",
    onStart: () => (tiles.held = true),
    onEnd: (/** @type {{item: HTMLElement, oldIndex: number, newIndex: number}} */ { item, oldIndex, newIndex }) => {
      tiles.held = false;
      const key = keyOf(item);
      if (oldIndex !== newIndex) tiles.arrange(key, keyOf(item.nextElementSibling) || following(tiles));
      tiles.show();
      tiles.select(key, true);
    },
  });
}

/** What stands behind the page that is shown: the next one's first; null where it is the last. @param {import("./tiles.js").Tiles} tiles */
function following(tiles) {
  const keys = tiles.found.map(({ key }) => key);
  const last = Math.max(...[...tiles.list.children].map((child) => keys.indexOf(keyOf(child))));
  return keys[last + 1] ?? null;
}
