/** The mesh in a few numbers, and how its registry stands. */

import { partsOf, say, setAttribute, setText, show } from "../dom.js";
import { n, t } from "../i18n.js";
import { ofNode } from "../state.js";
import { clock, joined } from "../words.js";
import { slotsOf, usable } from "./slots.js";

export class Totals {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.parts = partsOf(section);
  }

  /**
   * @param {import("../overview.js").Overview} overview
   * @param {{nodes: any[], cameras: any[], gone: any[], placements: import("./placements.js").Placements}} shown
   */
  render(overview, { nodes, cameras, gone, placements }) {
    const { parts } = this;
    const { ok, url, since } = overview.registry;
    say(
      parts.preserving,
      overview.preserving
        ? t("Many nodes vanished at once, so the network is suspected. They stay listed and keep their sessions until they answer again or are known to be gone.")
        : null,
    );
    const working = nodes.filter(usable);
    let used = 0;
    let all = 0;
    for (const node of working.filter((one) => !one.original)) {
      const slots = slotsOf(node, placements.at(node.node_id).length);
      used += slots.used;
      all += slots.all;
    }
    const waiting = placements.all.filter((session) => !session.node).length;
    const live = cameras.filter((camera) => ofNode(camera).tone === "ok").length;
    const goneNodes = gone.filter((node) => node.kind === "compute").length;
    const goneCameras = gone.length - goneNodes;
    figure(parts, "ready", t("{n} of {all}", { n: working.length, all: nodes.length }), goneNodes > 0 && t("{n} gone lately", { n: goneNodes }));
    figure(parts, "used", t("{n} of {all}", { n: used, all }), null);
    figure(parts, "sessions", String(placements.all.length), waiting > 0 && n(waiting, "{n} waits for a node", "{n} wait for a node"));
    figure(parts, "live", t("{n} of {all}", { n: live, all: cameras.length }), goneCameras > 0 && t("{n} gone lately", { n: goneCameras }));
    show(parts.figures, overview.known);

    // The page is sent without waiting long for the registry: whether it is away shows with the next answer.
    const asking = !ok && overview.first === true && !overview.known;
    setAttribute(parts.registry, "data-tone", ok ? "ok" : asking ? "busy" : "bad");
    setText(parts.url, url ?? "");
    setText(parts.answer, ok ? t("answers") : asking ? t("is asked") : since ? t("away since {time}", { time: clock(since) }) : t("away"));
  }
}

/** @param {import("../dom.js").Parts} parts @param {string} name @param {string} value @param {string | false | null} more */
function figure(parts, name, value, more) {
  setText(parts[name], value);
  say(parts[`${name}-more`], joined([more]));
}
