/** What a tile says of itself in one line: the most telling first, for what does not fit is not shown. */

import { n, t } from "../i18n.js";
import { isNumber, rate } from "../words.js";

/**
 * @typedef {{fps: number | null, age: number | null, objects: string | null}} Seen
 *   what this browser sees of it; null where it does not know. age: ms from the capture to the annotated picture.
 */

/** @param {import("./places.js").Place} place @param {Seen} seen @returns {string[]} */
export function factsOf(place, seen) {
  const { session, camera } = place;
  /** @type {(string | false | null)[]} */
  let facts;
  if (session) {
    const fps = seen.fps ?? session.fps;
    facts = [
      isNumber(fps) && fps > 0 && t("{rate} fps", { rate: rate(fps) }),
      seen.age !== null && t("{n} ms", { n: Math.round(seen.age) }),
      session.node_name && String(session.node_name),
      seen.objects,
      place.model,
      session.viewers > 0 && n(session.viewers, "{n} viewer", "{n} viewers"),
    ];
  } else if (camera) {
    const fps = camera.load?.fps || camera.fps;
    facts = [
      isNumber(fps) && fps > 0 && camera.state !== "dead" && t("{rate} fps", { rate: rate(fps) }),
      Boolean(camera.width && camera.height) && `${camera.width} × ${camera.height}`,
      camera.load?.viewers > 0 && n(camera.load.viewers, "{n} viewer", "{n} viewers"),
      Boolean(camera.original) && t("original"),
    ];
  } else facts = [];
  return /** @type {string[]} */ (facts.filter(Boolean));
}

/** `person=3, car=1` as people read it. @param {string | null} header */
export function objectsOf(header) {
  if (header === null) return null;
  const parts = header.split(",").map((part) => part.trim().split("="));
  return told(parts.filter(([label, count]) => label && count).map(([label, count]) => [plain(label), Number(count)]));
}

/** @param {{label: string}[]} objects */
export function countsOf(objects) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { label } of objects) counts.set(label, (counts.get(label) ?? 0) + 1);
  return told([...counts]);
}

/** @param {[string, number][]} counts */
function told(counts) {
  return counts
    .sort(([a, many], [b, more]) => more - many || (a < b ? -1 : 1))
    .map(([label, count]) => `${count} ${label}`)
    .join(", ");
}

/** @param {string} label as encodeURIComponent leaves it */
function plain(label) {
  try {
    return decodeURIComponent(label);
  } catch {
    return label; // not encoded, or cut in the middle
  }
}
