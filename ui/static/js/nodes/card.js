/** One compute node as a card. */

import { say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { ofNode, ofSession, paint } from "../state.js";
import { isNumber, joined, rate } from "../words.js";
import { offerCopy } from "./copying.js";
import { Draining } from "./draining.js";
import { addressOf, cameraOf, nameOf, wordOf } from "./placements.js";
import { reasonOf, remedyOf } from "./reasons.js";
import { slotsOf, usable } from "./slots.js";
import { clockOf, drawLoad, lastBeat, mark } from "./vitals.js";

const BLOCKS = 24; // slots drawn one by one; more are told in numbers only

/**
 * What a card needs to know beside its node.
 * @typedef {{now: number, away: boolean, version: string, registry: string, room: (id: string) => boolean,
 *   placements: import("./placements.js").Placements}} Around
 *   now: Unix seconds of the server; away: the registry is; version: the dashboard's; room: whether a node other than
 *   this one has a free slot.
 */

export class NodeCard {
  constructor() {
    const { root, parts } = stamp("node-card");
    this.root = root;
    this.parts = parts;
    this.draining = new Draining(parts);
    offerCopy(parts.remedy);
  }

  /** @param {any} node @param {Around} around */
  update(node, around) {
    const { parts } = this;
    const id = String(node.node_id);
    const name = nameOf(node);
    setAttribute(this.root, "id", id);
    setText(parts.name, name);
    setAttribute(parts.name, "title", name);

    const { placements } = around;
    this.draining.update(node, { sessions: placements.at(id).length, room: around.room(id), away: around.away });
    this.drawState(node, around);
    this.drawSlots(node, placements.at(id).length);
    drawLoad(parts, node.load);
    parts.vitals.classList.toggle("old", !usable(node));
    this.drawRuns(placements.at(id), id);
    this.drawModels(node);
    this.drawFacts(node, around);
  }

  /** @param {any} node @param {Around} around */
  drawState(node, around) {
    const { parts } = this;
    const standing = ofNode(node);
    paint(parts.state, parts.word, this.draining.standing ?? standing);
    show(parts.unauthenticated, Boolean(node.unauthenticated));
    const remedy = remedyOf(node, around.registry);
    // What "full" and "draining" mean, the slots and the line beside the button show.
    const told = remedy || !standing.reason || node.state === "full" || node.state === "draining";
    setAttribute(parts.reason, "data-tone", standing.tone);
    say(parts.reason, told ? null : reasonOf(node, around.now));
    show(parts.remedy, remedy !== null);
    if (remedy) {
      setText(parts.why, remedy.why);
      setText(parts["copy-text"], remedy.command);
    }
  }

  /** @param {any} node @param {number} sessions on it */
  drawSlots(node, sessions) {
    const { blocks } = this.parts;
    const { used, all } = slotsOf(node, sessions);
    const counted = usable(node);
    const drawn = all <= BLOCKS && !node.original ? all : 0;
    while (blocks.childElementCount > drawn) blocks.lastElementChild.remove();
    while (blocks.childElementCount < drawn) blocks.append(document.createElement("i"));
    for (let index = 0; index < drawn; index += 1) blocks.children[index].classList.toggle("used", index < used);
    setText(this.parts["slots-text"], node.original ? t("No sessions: it knows the original's calls only") : slotsText(used, all, counted));
    this.parts.slots.classList.toggle("out", !counted);
  }

  /** @param {any[]} sessions @param {string} id */
  drawRuns(sessions, id) {
    const { runs } = this.parts;
    show(this.parts["runs-row"], sessions.length > 0);
    reconcile(
      runs,
      sessions,
      (session) => String(session.session_id),
      () => stamp("node-run"),
      ({ parts }, session) => {
        const standing = ofSession(session);
        setAttribute(parts.root, "data-tone", standing.tone);
        setAttribute(parts.link, "href", addressOf(session));
        setText(parts.link, `${cameraOf(session)} → ${session.algorithm}`);
        const coming = session.following === id && session.node !== id;
        const fps = isNumber(session.fps) && session.fps > 0 && t("{n} fps", { n: rate(session.fps) });
        setText(parts.fact, coming ? t("moves here") : standing.tone === "ok" && fps ? fps : wordOf(session));
        setAttribute(parts.fact, "title", standing.reason);
      },
    );
  }

  /** @param {any} node */
  drawModels(node) {
    const algorithms = Array.isArray(node.algorithm) ? node.algorithm : [];
    show(this.parts["no-models"], algorithms.length === 0);
    reconcile(
      this.parts.models,
      algorithms.map((algorithm, place) => ({ algorithm, place })),
      ({ place }) => String(place),
      () => stamp("node-model"),
      ({ parts }, { algorithm }) => {
        setText(parts.id, String(algorithm.id ?? algorithm.name ?? algorithm.path));
        setAttribute(parts.id, "title", String(algorithm.name ?? ""));
        const fps = isNumber(algorithm.fps) && t("{n} fps", { n: rate(algorithm.fps) });
        setText(parts.facts, joined([algorithm.model, algorithm.engine, fps]));
      },
    );
  }

  /** @param {any} node @param {Around} around */
  drawFacts(node, around) {
    const { parts } = this;
    setText(parts.beat, lastBeat(node, around.now));
    const clock = clockOf(node);
    show(parts["clock-row"], clock !== null);
    if (clock) mark(parts.clock, clock);
    setText(parts.url, String(node.url ?? ""));
    const version = String(node.version || (node.original ? t("the original's, without one") : t("not told")));
    const other = Boolean(node.version) && node.version !== around.version;
    mark(parts.version, other ? { text: t("{version}, this dashboard is {other}", { version, other: around.version }), warn: true } : { text: version });
    const cores = node.cores && n(node.cores, "{n} core", "{n} cores");
    const machine = joined([cores, node.ram, node.cpu]);
    show(parts["machine-row"], Boolean(machine));
    setText(parts.machine, machine);
    const accelerators = (node.accelerators ?? []).join(", ");
    show(parts["accelerators-row"], Boolean(accelerators));
    setText(parts.accelerators, accelerators);
    const labels = Object.entries(node.labels ?? {}).map(([label, value]) => `${label}=${value}`);
    show(parts["labels-row"], labels.length > 0);
    setText(parts.labels, labels.join(", "));
  }
}

/** @param {number} used @param {number} all @param {boolean} counted */
function slotsText(used, all, counted) {
  if (!all) return t("No slots");
  if (!counted) return n(all, "{n} slot, not in use", "{n} slots, not in use");
  return n(all, "{free} of {n} slot free", "{free} of {n} slots free", { free: all - used });
}
