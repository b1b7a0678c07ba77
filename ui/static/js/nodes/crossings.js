/** The matrix before it is drawn: its rows, its columns, and what stands where they cross. */

import { t } from "../i18n.js";
import { ofNode, ofSession } from "../state.js";
import { addressOf, cameraOf, nameOf, wordOf } from "./placements.js";
import { freeOf } from "./slots.js";

/**
 * @typedef {{id: string, name: string, startable: boolean, standing: import("../state.js").Standing}} Row  a camera
 * @typedef {{id: string, name: string, free: number, standing: import("../state.js").Standing | null}} Column  a node;
 *   standing: null for the column of sessions that have none yet
 * @typedef {{id: string, href: string, row: string, camera: string, algorithm: string, tone: string, word: string,
 *   reason: string, way: "" | "to" | "from", other: string}} Chip  a session in a cell; way: it moves to the `other` node, or comes from it
 */

const NOWHERE = "nowhere";

/** Without the reason, which may change all the time and is told elsewhere. @param {any} node */
function standingOf(node) {
  return { ...ofNode(node), reason: "" };
}

export class Crossings {
  /** @param {{cameras: any[], nodes: any[], placements: import("./placements.js").Placements, whole: boolean}} shown */
  constructor({ cameras, nodes, placements, whole }) {
    /** @type {Row[]} */
    this.rows = cameras.map((camera) => {
      return { id: String(camera.node_id), name: nameOf(camera), startable: camera.state === "ready", standing: standingOf(camera) };
    });
    /** @type {Column[]} */
    this.columns = nodes.map((node) => ({
      id: String(node.node_id),
      name: nameOf(node),
      free: freeOf(node, placements.at(node.node_id).length),
      standing: standingOf(node),
    }));
    /** @type {Record<string, Chip[]>} */
    this.chips = {};
    this.fill(placements, whole);
  }

  /** @param {import("./placements.js").Placements} placements @param {boolean} whole */
  fill(placements, whole) {
    const known = new Set(this.rows.map((row) => row.id));
    const names = new Map(this.columns.map((column) => [column.id, column.name]));
    for (const session of placements.all) {
      const row = String(session.camera);
      if (!known.has(row)) {
        if (!whole) continue;
        known.add(row);
        this.rows.push({ id: row, name: cameraOf(session), startable: false, standing: { word: t("Gone"), tone: "off", reason: "" } });
      }
      const { node, following } = session;
      const moves = node && following && node !== following;
      this.put(node ?? (following ? null : NOWHERE), session, moves ? "to" : "", moves ? names.get(following) ?? "" : "");
      if (following && node !== following) this.put(following, session, "from", String(session.node_name ?? ""));
    }
    if (this.chips[NOWHERE] && whole) this.columns.unshift({ id: NOWHERE, name: t("No node yet"), free: 0, standing: null });
  }

  /** @param {string | null} column @param {any} session @param {Chip["way"]} way @param {string} other */
  put(column, session, way, other) {
    if (!column) return;
    const { tone, reason } = ofSession(session);
    (this.chips[column] ??= []).push({
      id: String(session.session_id),
      href: addressOf(session),
      row: String(session.camera),
      camera: cameraOf(session),
      algorithm: String(session.algorithm),
      tone,
      word: wordOf(session),
      reason,
      way,
      other,
    });
  }

  /** @param {Row} row @param {Column} column @returns {Chip[]} */
  at(row, column) {
    return (this.chips[column.id] ?? []).filter((chip) => chip.row === row.id);
  }

  /** @param {Column} column @returns {Chip[]} */
  inColumn(column) {
    return this.chips[column.id] ?? [];
  }

  /** Whether anything runs on a camera. @param {Row} row */
  inRow(row) {
    return Object.values(this.chips).some((chips) => chips.some((chip) => chip.row === row.id));
  }
}
