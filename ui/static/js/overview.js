/** The mesh as the server knows it, asked for once a second while somebody looks. */

import { getOverview } from "./calls.js";

const PERIOD = 1000; // ms: a node's beat comes once a second

/**
 * @typedef {{ok: boolean, url: string, reason: string | null, since: number | null}} Registry
 * @typedef {{registry: Registry, now: number, stale: boolean, known: boolean, age_seconds: number | null, lost?: boolean,
 *   first?: boolean, nodes: any[], algorithms: any[], sessions: any[]}} Overview
 *   lost: the dashboard's own server gave no answer. first: it came with the page.
 */

/** The overview that came with the page. @returns {Overview} */
function first() {
  return { ...JSON.parse(document.getElementById("first-overview")?.textContent ?? "{}"), first: true };
}

/**
 * Call `onChange` with every overview, the page's own first.
 * @param {(overview: Overview) => void} onChange
 * @returns {{refresh: () => void}} refresh: ask now, for something was changed
 */
export function watchOverview(onChange) {
  let last = first();
  let lostSince = 0;
  let timer = 0;
  let asking = false;
  let again = false;

  async function ask() {
    window.clearTimeout(timer);
    if (document.hidden) return; // a hidden tab costs nothing; it asks when it is seen again
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      last = await getOverview();
      lostSince = 0;
    } catch (error) {
      lostSince ||= Date.now() / 1000;
      const reason = /** @type {Error} */ (error).message;
      last = { ...last, first: false, stale: true, lost: true, registry: { ...last.registry, ok: false, reason, since: lostSince } };
    }
    asking = false;
    onChange(last);
    timer = window.setTimeout(ask, again ? 0 : PERIOD);
    again = false;
  }

  document.addEventListener("visibilitychange", ask);
  onChange(last);
  timer = window.setTimeout(ask, last.registry.ok ? PERIOD : 100);
  return { refresh: ask };
}
