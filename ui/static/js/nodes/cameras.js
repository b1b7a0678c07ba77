/** The camera nodes in short rows. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { ofNode, paint } from "../state.js";
import { isNumber, joined, rate } from "../words.js";
import { nameOf } from "./placements.js";
import { reasonOf, remedyOf } from "./reasons.js";
import { clockOf, lastBeat } from "./vitals.js";

export class CameraNodes {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.parts = partsOf(section);
  }

  /**
   * @param {import("../overview.js").Overview} overview
   * @param {{all: any[], found: any[], registry: string, hosts: Map<string, string>}} shown hosts: names of the camera
   *   nodes that run others', by their id
   */
  render(overview, { all, found, registry, hosts }) {
    const { list, table, count, empty, unfound } = this.parts;
    reconcile(
      list,
      found,
      (camera) => String(camera.node_id),
      () => stamp("camera-row"),
      ({ parts }, camera) => draw(parts, camera, overview.now, registry, hosts),
    );
    setText(count, !all.length ? "" : found.length < all.length ? t("{n} of {all}", { n: found.length, all: all.length }) : String(all.length));
    show(table, found.length > 0);
    show(empty, overview.known && all.length === 0);
    show(unfound, all.length > 0 && found.length === 0);
  }
}

/** @param {import("../dom.js").Parts} parts @param {any} camera @param {number} now @param {string} registry @param {Map<string, string>} hosts */
function draw(parts, camera, now, registry, hosts) {
  setAttribute(parts.root, "id", String(camera.node_id));
  setText(parts.name, nameOf(camera));
  const standing = ofNode(camera);
  paint(parts.state, parts.word, standing);
  show(parts.unauthenticated, Boolean(camera.unauthenticated));
  const remedy = remedyOf(camera, registry);
  const clock = clockOf(camera);
  const why = remedy
    ? `${remedy.why} ${remedy.command}`
    : standing.reason
      ? camera.load?.no_signal ? standing.reason : reasonOf(camera, now)
      : clock?.warn ? t("Its clock is {off}", { off: clock.text }) : "";
  setAttribute(parts.reason, "data-tone", standing.reason ? standing.tone : "warn");
  say(parts.reason, why);
  setText(parts.size, isNumber(camera.width) && isNumber(camera.height) ? `${camera.width} × ${camera.height}` : "–");
  const fps = camera.load?.fps ?? camera.fps;
  setText(parts.fps, isNumber(fps) ? t("{n} fps", { n: rate(fps) }) : "–");
  setText(parts.viewers, n(camera.load?.viewers ?? 0, "{n} viewer", "{n} viewers"));
  setText(parts.host, hosts.get(camera.hosted_by) ?? joined([camera.host_name]));
  setText(parts.beat, lastBeat(camera, now));
}
