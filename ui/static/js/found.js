/** The objects in the picture now: how many of each, and each with its confidence. */

import { setText, show, stamp } from "./dom.js";
import { reconcile } from "./keyed.js";

const LISTED = 12; // objects listed one by one

/** @param {import("./dom.js").Parts} parts @param {import("./livestream.js").Found[]} objects */
export function showFound(parts, objects) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { label } of objects) counts.set(label, (counts.get(label) ?? 0) + 1);
  reconcile(
    parts.counts,
    [...counts].sort(([a], [b]) => (a < b ? -1 : 1)),
    ([label]) => label,
    () => stamp("count-chip"),
    (entry, [label, count]) => {
      setText(entry.parts.label, label);
      setText(entry.parts.number, String(count));
    },
  );
  // By place in the list, not by object: rows change their words and stay where they are.
  const listed = [...objects].sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : b.confidence - a.confidence));
  reconcile(
    parts.objects,
    listed.slice(0, LISTED).map((object, place) => ({ object, place })),
    ({ place }) => String(place),
    () => stamp("object-row"),
    (entry, { object }) => {
      const percent = Math.round(object.confidence * 100);
      setText(entry.parts.label, object.label);
      setText(entry.parts.confidence, `${percent} %`);
      entry.parts.bar.style.inlineSize = `${percent}%`;
    },
  );
  setText(parts.total, objects.length ? String(objects.length) : "");
  show(parts.nothing, objects.length === 0);
}
