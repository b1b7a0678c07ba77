/** One stop of the Tab key for a whole table: its links are reached with the arrow keys. */

/** @type {Record<string, [number, number]>} rows and columns to go */
const WAYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * @param {HTMLTableSectionElement} body all its links are meant
 * @returns {() => void} to be called when its content has changed
 */
export function roam(body) {
  /** @type {HTMLElement | null} */
  let stop = null;

  /** @param {HTMLElement | null} link */
  function stopAt(link) {
    if (stop && stop !== link) stop.tabIndex = -1;
    stop = link;
    if (stop) stop.tabIndex = 0;
  }

  body.addEventListener("focusin", (event) => stopAt(/** @type {HTMLElement} */ (event.target).closest("a")));
  body.addEventListener("keydown", (event) => {
    const link = /** @type {HTMLElement} */ (event.target).closest("a");
    if (!link || event.ctrlKey || event.altKey || event.metaKey) return;
    const next = nextTo(body, link, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return () => {
    if (!stop?.isConnected) stop = body.querySelector("a");
    for (const link of body.querySelectorAll("a")) link.tabIndex = link === stop ? 0 : -1;
  };
}

/** @param {HTMLTableSectionElement} body @param {HTMLElement} link @param {string} key @returns {HTMLElement | null} */
function nextTo(body, link, key) {
  const cell = /** @type {HTMLTableCellElement} */ (link.closest("td"));
  const row = /** @type {HTMLTableRowElement} */ (cell.parentElement);
  const all = [...row.querySelectorAll("a")];
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  const way = WAYS[key];
  if (!way) return null;
  const [down, right] = way;
  if (down) {
    const here = [...cell.querySelectorAll("a")];
    const beside = here[here.indexOf(/** @type {HTMLAnchorElement} */ (link)) + down];
    if (beside) return beside;
  }
  let y = row.sectionRowIndex + down;
  let x = cell.cellIndex + right;
  for (;;) {
    const there = body.rows[y]?.cells[x];
    if (!there || there.tagName !== "TD") return null;
    const links = there.querySelectorAll("a");
    if (links.length) return links[down < 0 ? links.length - 1 : 0];
    y += down;
    x += right;
  }
}
