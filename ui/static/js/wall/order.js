/** The order of the tiles as somebody arranged them, remembered by this browser. */

import { keep, recall } from "../kept.js";

const NAME = "wall.order";
const MOST = 1000; // keys: those that are not there keep their place for when they come back, but not for ever

export class Order {
  constructor() {
    /** @type {string[]} */
    this.keys = read();
  }

  /**
   * `places` as they were arranged; new ones at the end, further sessions of a camera beside the first.
   * @template {{key: string, beside: string}} P
   * @param {P[]} places
   * @returns {P[]}
   */
  sorted(places) {
    const rank = new Map(this.keys.map((key, index) => [key, index]));
    /** @param {P} place */
    const rankOf = (place) => rank.get(place.key) ?? (place.beside && rank.get(place.beside)) ?? Number.POSITIVE_INFINITY;
    // The places come by name; a stable sort keeps that order among equals.
    return [...places].sort((a, b) => {
      const [left, right] = [Number(rankOf(a)), Number(rankOf(b))];
      return left === right ? 0 : left - right;
    });
  }

  /**
   * Put `key` before another, or behind all.
   * @param {string} key
   * @param {string | null} before
   * @param {string[]} shown the keys in the order in which they are shown now
   */
  move(key, before, shown) {
    // Those that are away stay behind the one that they stood behind.
    const merged = [...shown];
    let last = "";
    for (const known of this.keys) {
      if (!shown.includes(known)) merged.splice(merged.indexOf(last) + 1, 0, known);
      last = known;
    }
    const rest = merged.filter((one) => one !== key);
    rest.splice(before === null ? rest.length : rest.indexOf(before), 0, key);
    const away = new Set(rest.filter((one) => !shown.includes(one)).slice(0, Math.max(0, rest.length - MOST)));
    this.keys = rest.filter((one) => !away.has(one));
    keep(NAME, JSON.stringify(this.keys));
  }
}

/** @returns {string[]} */
function read() {
  try {
    const found = JSON.parse(recall(NAME) ?? "[]");
    return Array.isArray(found) ? found.filter((key) => typeof key === "string") : [];
  } catch {
    return []; // written by something else
  }
}
