/** The objects in the picture now: how many of each, and each with its confidence. */

import { setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";

const LISTED = 30; // objects listed one by one

/** @param {import("../dom.js").Parts} parts @param {import("../livestream.js").Found[] | null} objects null: no picture */
export function showFound(parts, objects) {
  const found = objects ?? [];
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { label } of found) counts.set(label, (counts.get(label) ?? 0) + 1);
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
  const listed = [...found].sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : b.confidence - a.confidence));
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
  setText(parts.total, found.length ? String(found.length) : "");
  const more = found.length - LISTED;
  setText(
    parts.nothing,
    more > 0 ? n(more, "and {n} more", "and {n} more") : objects ? t("Nothing is found in it.") : t("No picture yet."),
  );
  show(parts.nothing, found.length === 0 || more > 0);
}
