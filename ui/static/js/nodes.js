/** The compute nodes as cards: trouble first, then by name. */

import { partsOf, setText, show } from "./dom.js";
import { t } from "./i18n.js";
import { reconcile } from "./keyed.js";
import { NodeCard } from "./nodes/card.js";
import { nameOf } from "./nodes/placements.js";
import { freeOf } from "./nodes/slots.js";
import { needsALook } from "./nodes/vitals.js";
import { ofNode } from "./state.js";

/** @type {Record<string, number>} */
const TROUBLE = { bad: 0, warn: 1 };

export class Nodes {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.parts = partsOf(section);
    this.version = section.dataset.version ?? "";
    /** @type {Set<string>} nodes that were hot or out of step when they were looked at last */
    this.warned = new Set();
  }

  /**
   * @param {import("./overview.js").Overview} overview
   * @param {{nodes: any[], found: any[], placements: import("./nodes/placements.js").Placements, registry: string}} shown
   *   nodes: all that are there; found: those that the search leaves; registry: its address for other computers
   */
  render(overview, { nodes, found, placements, registry }) {
    const { list, count, waiting, empty, unfound } = this.parts;
    const free = nodes.filter((node) => freeOf(node, placements.at(node.node_id).length) > 0).map((node) => node.node_id);
    const around = {
      now: overview.now,
      away: overview.stale,
      version: this.version,
      registry,
      placements,
      room: (/** @type {string} */ id) => free.length > 1 || (free.length === 1 && free[0] !== id),
    };
    this.warned = new Set(nodes.filter((node) => needsALook(node, this.warned.has(node.node_id))).map((node) => node.node_id));
    reconcile(
      list,
      ordered(found, this.warned),
      (node) => String(node.node_id),
      () => new NodeCard(),
      (card, node) => card.update(node, around),
    );
    setText(count, !nodes.length ? "" : found.length < nodes.length ? t("{n} of {all}", { n: found.length, all: nodes.length }) : String(nodes.length));
    show(waiting, !overview.known);
    show(empty, overview.known && nodes.length === 0);
    show(unfound, nodes.length > 0 && found.length === 0);
  }
}

/** What somebody drains on purpose is no trouble, and keeps its place. @param {any} node @param {boolean} warned */
function trouble(node, warned) {
  return node.state === "draining" ? 2 : TROUBLE[ofNode(node).tone] ?? (warned ? 1 : 2);
}

/** @param {any[]} nodes @param {Set<string>} [warned] those that work but need a look */
export function ordered(nodes, warned = new Set()) {
  return nodes
    .map((node) => ({ node, rank: trouble(node, warned.has(node.node_id)), name: nameOf(node) }))
    .sort((a, b) => a.rank - b.rank || byName(a.name, b.name) || (a.node.node_id < b.node.node_id ? -1 : 1))
    .map(({ node }) => node);
}

const byName = new Intl.Collator(undefined, { numeric: true }).compare;
