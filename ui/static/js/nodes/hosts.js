/** The camera nodes that run cameras which people add. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { ofNode, paint } from "../state.js";
import { isNumber } from "../words.js";
import { isCamera, nameOf } from "./placements.js";
import { reasonOf } from "./reasons.js";
import { drawLoad, lastBeat } from "./vitals.js";

export class Hosts {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.section = section;
    this.parts = partsOf(section);
  }

  /** @param {import("../overview.js").Overview} overview @param {{all: any[], found: any[]}} shown nodes that host */
  render(overview, { all, found }) {
    const offers = new Map(overview.hosts.map((host) => [host.node_id, host]));
    reconcile(
      this.parts.list,
      found,
      (node) => String(node.node_id),
      () => stamp("host-card"),
      ({ parts }, node) => draw(parts, node, offers.get(node.node_id), overview),
    );
    setText(this.parts.count, String(all.length));
    show(this.section, found.length > 0);
  }
}

/** @param {import("../dom.js").Parts} parts @param {any} node @param {any} offer @param {import("../overview.js").Overview} overview */
function draw(parts, node, offer, overview) {
  // A node with a camera of its own has its row too, to which links by its id lead.
  if (!isCamera(node)) setAttribute(parts.root, "id", String(node.node_id));
  setText(parts.name, nameOf(node));
  const standing = ofNode(node);
  paint(parts.state, parts.word, isCamera(node) || standing.word !== t("Live") ? standing : { ...standing, word: t("Ready") });
  setAttribute(parts.reason, "data-tone", standing.tone);
  say(parts.reason, standing.reason && reasonOf(node, overview.now));
  const running = overview.cameras.filter((camera) => camera.host === node.node_id);
  const capacity = offer?.capacity ?? node.hosting;
  const count = offer?.running ?? running.length;
  setText(
    parts.capacity,
    isNumber(capacity)
      ? n(capacity, "{running} of {n} added camera", "{running} of {n} added cameras", { running: count })
      : n(count, "{n} added camera", "{n} added cameras"),
  );
  drawLoad(parts, node.load);
  setText(parts.beat, lastBeat(node, overview.now));
  setText(parts.url, String(node.url ?? ""));
  const names = running.map((camera) => String(camera.name)).join(", ");
  show(parts["cameras-row"], Boolean(names));
  setText(parts.cameras, names);
}
