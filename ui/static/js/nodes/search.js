/** The search field's words, and what they are found in. */

import { ofNode } from "../state.js";
import { nameOf } from "./placements.js";

/** What is looked for: every word must be found somewhere. */
export class Search {
  /** @param {string} text */
  constructor(text) {
    this.text = text.trim();
    this.words = this.text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  }

  get on() {
    return this.words.length > 0;
  }

  /** @param {() => unknown[]} texts asked for only while something is looked for */
  finds(texts) {
    if (!this.on) return true;
    const all = texts().filter(Boolean).join("\n").toLocaleLowerCase();
    return this.words.every((word) => all.includes(word));
  }

  /** @param {any} node @param {any[]} [sessions] that run on it */
  findsNode(node, sessions = []) {
    return this.finds(() => [
      ...[nameOf(node), node.name, node.host_name, node.url, node.ip_address, node.node_id, node.version, node.cpu],
      ...[node.state, ofNode(node).word, node.state_reason, ...(node.accelerators ?? [])],
      ...Object.entries(node.labels ?? {}).map(([label, value]) => `${label}=${value}`),
      ...(Array.isArray(node.algorithm) ? node.algorithm : []).flatMap((/** @type {any} */ a) => [a.id, a.name, a.model, a.engine]),
      ...sessions.flatMap((session) => [session.camera_name, session.algorithm]),
    ]);
  }
}
