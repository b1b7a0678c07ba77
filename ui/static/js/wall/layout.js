/** How many tiles are seen at once, and how large that makes them. */

import { keep, recall } from "../kept.js";

const NAME = "wall.layout";
const USUAL = "9";
export const LAYOUTS = ["1", "4", "9", "16", "all"];
const SHAPE = 16 / 9; // of a picture
const LEAST = 96; // px of a tile's height: a window that is lower scrolls

/** The layout that this browser was left with. */
export function lastLayout() {
  const found = recall(NAME) ?? USUAL;
  return LAYOUTS.includes(found) ? found : USUAL;
}

/** @param {string} layout */
export function keepLayout(layout) {
  keep(NAME, layout);
}

/** Tiles on one page. @param {string} layout */
export function pageSize(layout) {
  return layout === "all" ? Number.POSITIVE_INFINITY : Number(layout);
}

/**
 * The grid in which `count` pictures of 16:9 are largest.
 * @param {number} count
 * @param {{width: number, height: number, gap: number, caption: number}} room px; caption: of each tile beside its picture
 * @returns {{columns: number, row: number}} row: px of a row's height
 */
export function gridOf(count, { width, height, gap, caption }) {
  let best = { columns: 1, row: LEAST, picture: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const wide = (width - gap * (columns - 1)) / columns;
    const high = (height - gap * (rows - 1)) / rows;
    const picture = Math.min(wide, (high - caption) * SHAPE);
    if (picture > best.picture) best = { columns, row: Math.max(LEAST, Math.min(high, wide / SHAPE + caption)), picture };
  }
  return best;
}
