/** The compute nodes as cards. */

import { partsOf, say, setAttribute, setText, show, stamp } from "./dom.js";
import { reconcile } from "./keyed.js";
import { ofNode, paint } from "./state.js";
import { duration, isNumber, joined, many, rate, sentence, whereToStart } from "./words.js";

const BLOCKS = 24; // slots drawn one by one; more are told in numbers only

export class Nodes {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.parts = partsOf(section);
  }

  /** @param {import("./overview.js").Overview} overview */
  render(overview) {
    const nodes = overview.nodes.filter((node) => node.kind === "compute");
    const { list, count, empty, registry, where } = this.parts;
    reconcile(
      list,
      nodes,
      (node) => String(node.node_id),
      () => new NodeCard(),
      (card, node) => card.update(node, overview.now),
    );
    setText(count, nodes.length ? String(nodes.length) : "");
    setText(registry, overview.registry.url ?? "http://HOST:5050");
    setText(where, whereToStart(overview.registry.url ?? ""));
    show(empty, overview.known && nodes.length === 0);
  }
}

/** Whether its slots count: they do not while nobody reaches it. @param {any} node */
export function usable(node) {
  return ["ready", "full", "draining"].includes(node.state);
}

/** Slots in use and in all. @param {any} node @returns {{used: number, all: number}} */
export function slotsOf(node) {
  const all = isNumber(node.slots) ? node.slots : 0;
  const used = (isNumber(node.sessions) ? node.sessions : 0) + (node.load?.direct ?? 0);
  return { used: Math.min(used, all), all };
}

class NodeCard {
  constructor() {
    const { root, parts } = stamp("node-card");
    this.root = root;
    this.parts = parts;
  }

  /** @param {any} node @param {number} now Unix seconds of the server */
  update(node, now) {
    const { parts } = this;
    const name = String(node.FriendlyName || node.name || node.host_name || node.node_id);
    const standing = ofNode(node);
    setText(parts.name, name);
    setAttribute(parts.name, "title", name);
    paint(parts.state, parts.word, standing);
    setAttribute(parts.reason, "data-tone", standing.tone);
    // What "full" means, the slots show.
    say(parts.reason, standing.reason && node.state !== "full" && sentence(standing.reason));
    this.drawSlots(slotsOf(node), usable(node));
    const algorithms = Array.isArray(node.algorithm) ? node.algorithm : [];
    setText(
      parts.models,
      algorithms.map((a) => `${a.id ?? a.name}${isNumber(a.fps) ? ` ${rate(a.fps)} fps` : ""}`).join(", ") || "none loaded",
    );
    const models = algorithms.map((a) => joined([a.name, a.model, a.engine])).join("\n");
    setAttribute(parts.models, "title", models);
    setText(parts.engine, (node.accelerators ?? []).join(", ") || "CPU");
    const load = node.load?.cpu_percent;
    setText(
      parts.cpu,
      joined([isNumber(load) && `${Math.round(load)} %`, node.cores && many(node.cores, "core"), node.ram]) || "not told",
    );
    setAttribute(parts.cpu, "title", String(node.cpu ?? ""));
    const ago = isNumber(node.last_seen) ? now - node.last_seen : Number.NaN;
    setText(parts.beat, Number.isNaN(ago) ? "not told" : ago < 3 ? "just now" : `${duration(ago)} ago`);
    setText(parts.url, String(node.url ?? ""));
    setText(parts.version, node.version ? `version ${node.version}` : node.original ? "original" : "");
  }

  /** @param {{used: number, all: number}} slots @param {boolean} counted */
  drawSlots({ used, all }, counted) {
    const { blocks } = this.parts;
    const drawn = all <= BLOCKS ? all : 0;
    while (blocks.childElementCount > drawn) blocks.lastElementChild.remove();
    while (blocks.childElementCount < drawn) blocks.append(document.createElement("i"));
    for (const [index, block] of [...blocks.children].entries()) block.classList.toggle("used", index < used);
    setText(this.parts["slots-text"], !all ? "No slots" : counted ? `${all - used} of ${many(all, "slot")} free` : `${many(all, "slot")}, not in use`);
    this.parts.slots.classList.toggle("out", !counted);
  }
}
