/** Cameras × compute nodes: what runs where. On a phone, a list by node. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { paint } from "../state.js";
import { Crossings } from "./crossings.js";
import { drawCell } from "./cell.js";
import { roam } from "./roaming.js";

const MOST_CELLS = 3000; // beyond, only what runs is shown: more could not be read, and would slow the page
const MOST_ROWS = 100;
const MOST_COLUMNS = 40;
const PHONE = window.matchMedia("(max-width: 40rem)");

/** @typedef {import("./crossings.js").Row} Row @typedef {import("./crossings.js").Column} Column */

const CORNER = Symbol("corner");

export class Matrix {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.section = section;
    this.parts = partsOf(section);
    this.drawn = "";
    this.settle = roam(this.parts.body);
    /** @type {(() => void) | null} */
    this.again = null;
    PHONE.addEventListener("change", () => this.again?.());
  }

  /**
   * @param {{cameras: any[], nodes: any[], placements: import("./placements.js").Placements, whole: boolean, away: boolean}} shown
   *   cameras, nodes: those that the search leaves; whole: nothing is looked for, so sessions whose camera is not listed
   *   are shown too; away: nothing can be started
   */
  render(shown) {
    this.again = () => this.render(shown);
    const crossings = new Crossings(shown);
    let { rows, columns } = crossings;
    const some = rows.length * columns.length > MOST_CELLS;
    if (some) {
      rows = rows.filter((row) => crossings.inRow(row)).slice(0, MOST_ROWS);
      columns = columns.filter((column) => crossings.inColumn(column).length).slice(0, MOST_COLUMNS);
    }
    const phone = PHONE.matches;
    // Most of what the page hears changes nothing here.
    const told = JSON.stringify([phone, some, shown.away, rows, columns, crossings.chips]);
    if (told === this.drawn) return;
    this.drawn = told;
    show(this.section, rows.length > 0 && columns.length > 0);
    show(this.parts.box, !phone);
    show(this.parts.list, phone);
    say(this.parts.some, some ? t("Too many to show all: here is only where something runs. Search to narrow it down.") : null);
    if (phone) this.drawList(columns, crossings);
    else {
      say(this.parts.idle, null);
      this.drawTable(rows, columns, crossings, shown.away);
    }
  }

  /** @param {Row[]} rows @param {Column[]} columns @param {Crossings} crossings @param {boolean} away */
  drawTable(rows, columns, crossings, away) {
    /** @type {(Column | typeof CORNER)[]} */
    const heads = [CORNER, ...columns];
    const key = (/** @type {Column | typeof CORNER} */ column) => (column === CORNER ? "corner" : /** @type {Column} */ (column).id);
    reconcile(
      this.parts.head,
      heads,
      key,
      (column) => stamp(column === CORNER ? "matrix-corner" : "matrix-node"),
      ({ parts }, column) => column !== CORNER && drawNode(parts, /** @type {Column} */ (column)),
    );
    reconcile(
      this.parts.body,
      rows,
      (row) => row.id,
      () => ({ root: document.createElement("tr") }),
      ({ root }, row) =>
        reconcile(
          root,
          heads,
          key,
          (column) => (column === CORNER ? stamp("matrix-camera") : { root: document.createElement("td"), parts: {} }),
          ({ root: cell, parts }, column) =>
            column === CORNER
              ? drawCamera(parts, row)
              : drawCell(cell, crossings.at(row, /** @type {Column} */ (column)), row, /** @type {Column} */ (column), away),
        ),
    );
    this.settle();
  }

  /** @param {Column[]} columns @param {Crossings} crossings */
  drawList(columns, crossings) {
    const busy = columns.filter((column) => crossings.inColumn(column).length);
    reconcile(
      this.parts.list,
      busy,
      (column) => column.id,
      () => stamp("matrix-by-node"),
      ({ parts }, column) => {
        drawNode(parts, column);
        drawCell(parts.sessions, crossings.inColumn(column), null, column, true);
      },
    );
    const idle = columns.length - busy.length;
    say(this.parts.idle, idle > 0 ? n(idle, "{n} node runs nothing.", "{n} nodes run nothing.") : null);
  }
}

/** @param {import("../dom.js").Parts} parts @param {Column} column */
function drawNode(parts, column) {
  setText(parts.name, column.name);
  setAttribute(parts.name, "title", column.name);
  const { standing } = column;
  if (standing) setAttribute(parts.name, "href", `#${column.id}`);
  const well = !standing || standing.tone === "ok";
  show(parts.state, !well);
  if (standing && !well) paint(parts.state, parts.word, standing);
  say(parts.free, standing && well ? n(column.free, "{n} free", "{n} free") : null);
}

/** @param {import("../dom.js").Parts} parts @param {Row} row */
function drawCamera(parts, row) {
  setText(parts.name, row.name);
  setAttribute(parts.name, "title", row.name);
  show(parts.state, row.standing.tone !== "ok");
  paint(parts.state, parts.word, row.standing);
}
