/** Nodes that died or left lately. */

import { partsOf, setAttribute, setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { clock, isNumber } from "../words.js";
import { nameOf } from "./placements.js";
import { reasonOf } from "./reasons.js";

export class Gone {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.section = section;
    this.parts = partsOf(section);
  }

  /** @param {import("../overview.js").Overview} overview @param {any[]} found */
  render(overview, found) {
    reconcile(
      this.parts.list,
      [...found].sort((a, b) => (b.dead_at ?? 0) - (a.dead_at ?? 0)),
      (node) => String(node.node_id),
      () => stamp("gone-row"),
      ({ parts }, node) => {
        setAttribute(parts.root, "id", String(node.node_id));
        setText(parts.name, nameOf(node));
        setText(parts.kind, node.kind === "camera" ? t("camera") : t("compute node"));
        setText(parts.since, isNumber(node.dead_at) ? t("gone since {time}", { time: clock(node.dead_at) }) : t("gone"));
        setText(parts.reason, reasonOf(node, overview.now));
        setText(parts.url, String(node.url ?? ""));
      },
    );
    setText(this.parts.count, String(found.length));
    show(this.section, found.length > 0);
  }
}
