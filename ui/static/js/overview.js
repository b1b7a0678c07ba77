/** The mesh as the server knows it: heard as it changes, while somebody looks. */

import { call } from "./calls.js";
import { at } from "./root.js";
import { signedIn } from "./signing.js";

const TOGETHER = 60; // ms within which changes are shown together
const SILENCE = 20_000; // ms without a word of the server, which speaks every second, and of large meshes every ten
const BREATH = 2; // seconds for which a broken connection is nothing to speak of: the browser makes another
const AGAIN = 2000; // ms until the next try where the browser gives up by itself

/**
 * @typedef {{ok: boolean, url: string, reason: string | null, since: number | null}} Registry
 * @typedef {{registry: Registry, now: number, stale: boolean, known: boolean, age_seconds: number | null, lost?: boolean,
 *   first?: boolean, preserving: boolean, nodes: any[], algorithms: any[], sessions: any[], cameras: any[], hosts: any[]}}
 *   Overview
 *   lost: the dashboard's own server gave no answer. first: it came with the page. now: Unix seconds of the server's clock.
 */

/** @type {Record<string, "node_id" | "session_id">} */
const IDS = { nodes: "node_id", sessions: "session_id" };

/** Whether the server does not know us any more; then the page says so. */
async function isSignedOut() {
  try {
    await call("GET", "/api/me");
    return false;
  } catch (error) {
    return /** @type {import("./calls.js").Refused} */ (error).status === 401;
  }
}

/** The overview that came with the page. @returns {Overview} */
function first() {
  return { ...JSON.parse(document.getElementById("first-overview")?.textContent ?? "{}"), first: true };
}

/** What is known, kept by id, so that a change touches one document. */
class Known {
  /** @param {Overview} overview */
  constructor(overview) {
    this.whole(overview);
  }

  /** @param {Overview} overview */
  whole(overview) {
    this.rest = overview;
    this.lists = {
      nodes: new Map(overview.nodes.map((one) => [one.node_id, one])),
      sessions: new Map(overview.sessions.map((one) => [one.session_id, one])),
    };
    this.ahead = overview.now - Date.now() / 1000; // seconds by which the server's clock is ahead of this one
  }

  /** @param {"nodes" | "sessions"} list @param {any} document */
  change(list, { now: _, ...document }) {
    const id = document[IDS[list]];
    if (document.state === "gone" || document.state === "ended") this.lists[list].delete(id);
    else this.lists[list].set(id, document);
  }

  /** @param {any} news */
  vitals({ now, nodes = {}, sessions = {}, ...others }) {
    this.ahead = now - Date.now() / 1000;
    for (const [list, changes] of /** @type {["nodes" | "sessions", any][]} */ ([["nodes", nodes], ["sessions", sessions]])) {
      for (const [id, fields] of Object.entries(changes)) {
        const known = this.lists[list].get(id);
        if (known) this.lists[list].set(id, { ...known, .../** @type {object} */ (fields) });
      }
    }
    this.rest = { ...this.rest, ...others };
  }

  /** @returns {Overview} */
  overview() {
    return {
      ...this.rest,
      now: Date.now() / 1000 + this.ahead,
      nodes: [...this.lists.nodes.values()],
      sessions: [...this.lists.sessions.values()],
    };
  }
}

/**
 * Call `onChange` with every overview, the page's own first.
 * @param {(overview: Overview) => void} onChange
 */
export function watchOverview(onChange) {
  const known = new Known(first());
  /** @type {EventSource | null} */
  let events = null;
  let lostSince = 0;
  let heard = 0;
  let telling = 0;
  let again = 0;
  let isFirst = true;

  function tell() {
    telling = 0;
    const overview = { ...known.overview(), first: isFirst };
    if (lostSince && Date.now() / 1000 - lostSince > BREATH) {
      overview.lost = overview.stale = true;
      overview.registry = { ...overview.registry, ok: false, reason: null, since: lostSince };
    }
    onChange(overview);
  }

  function soon() {
    telling ||= window.setTimeout(tell, TOGETHER);
  }

  /** @param {string} kind @param {(data: any) => void} take */
  function on(kind, take) {
    events?.addEventListener(kind, (event) => {
      heard = performance.now();
      lostSince = 0;
      isFirst = false;
      signedIn();
      take(JSON.parse(event.data));
      soon();
    });
  }

  function lost() {
    lostSince ||= Date.now() / 1000;
    window.setTimeout(soon, BREATH * 1000 + TOGETHER);
  }

  function open() {
    window.clearTimeout(again);
    events?.close();
    if (document.hidden) return; // a hidden tab costs nothing; it hears all again when it is seen
    heard = performance.now();
    events = new EventSource(at("/api/events"));
    on("snapshot", (data) => known.whole(data));
    on("node", (data) => known.change("nodes", data));
    on("session", (data) => known.change("sessions", data));
    on("vitals", (data) => known.vitals(data));
    on("registry", ({ now: _, ...data }) => (known.rest = { ...known.rest, ...data }));
    on("mesh", ({ preserving }) => (known.rest = { ...known.rest, preserving }));
    events.onerror = async () => {
      lost();
      if (events?.readyState !== EventSource.CLOSED) return;
      events = null;
      if (await isSignedOut()) lostSince = 0; // which is said; it goes on when the page is looked at anew
      else again = window.setTimeout(open, AGAIN);
    };
  }

  window.setInterval(() => {
    if (document.hidden || !events) return;
    if (performance.now() - heard > SILENCE) {
      lost();
      open();
    }
    if (known.rest.stale || lostSince) soon(); // "known 12 s ago" counts on
  }, 1000);
  document.addEventListener("visibilitychange", open);
  window.addEventListener("pagehide", () => events?.close());
  window.addEventListener("pageshow", (event) => event.persisted && open());
  tell();
  open();
}
