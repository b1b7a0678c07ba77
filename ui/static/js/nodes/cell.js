/** A cell of the matrix: the sessions there, or the offer to start one. */

import { setAttribute, setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { can } from "../me.js";
import { joined } from "../words.js";

/** @typedef {import("./crossings.js").Chip} Chip */

/**
 * @param {HTMLElement} cell
 * @param {Chip[]} chips
 * @param {import("./crossings.js").Row | null} row the camera; null in a list that is not by camera
 * @param {import("./crossings.js").Column} column the node
 * @param {boolean} away nothing can be started
 */
export function drawCell(cell, chips, row, column, away) {
  const offer = can("operate") && !away && chips.length === 0 && row?.startable && column.free > 0;
  reconcile(
    cell,
    /** @type {(Chip | null)[]} */ (offer ? [null] : chips),
    (chip) => chip?.id ?? "start",
    (chip) => stamp(chip ? "matrix-session" : "matrix-start"),
    ({ parts }, chip) => {
      if (chip) drawChip(parts, chip, row === null, column.name);
      else if (row) {
        const query = new URLSearchParams({ start: row.id, node: column.id });
        setAttribute(parts.root, "href", `/?${query}`);
        setAttribute(parts.root, "aria-label", t("Start an algorithm on {camera} at {node}", { camera: row.name, node: column.name }));
        setAttribute(parts.root, "title", `${row.name} → ${column.name}`);
      }
    },
  );
}

/** @param {import("../dom.js").Parts} parts @param {Chip} chip @param {boolean} byNode its camera is told by nothing else @param {string} node */
function drawChip(parts, chip, byNode, node) {
  setAttribute(parts.link, "href", chip.href);
  setAttribute(parts.link, "data-tone", chip.tone);
  parts.root.classList.toggle("coming", chip.way === "from");
  setText(parts.what, byNode ? `${chip.camera} → ${chip.algorithm}` : chip.algorithm);
  const way = chip.way === "to" ? t("to {node}", { node: chip.other }) : chip.way === "from" ? t("from {node}", { node: chip.other }) : "";
  const said = way || (chip.tone === "ok" ? "" : chip.word);
  setText(parts.word, said);
  show(parts.word, Boolean(said));
  setAttribute(parts.link, "title", joined([`${chip.camera} → ${chip.algorithm}`, node, chip.word, way, chip.reason]));
}
