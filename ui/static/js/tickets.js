/** Where the pictures of sessions and cameras are now: asked of the dashboard for all that a page shows, at once.
 *
 * Where a mesh is locked, addresses are signed and good for a short while. They are kept for most of it and renewed for
 * what is still shown; a session that moves has new ones, which are asked for at once. A hidden page asks for nothing.
 */

import { getMe, getTickets } from "./calls.js";
import { at } from "./root.js";

const TOGETHER = 15; // ms within which what is wanted is asked for in one call
const KEPT = 0.6; // of an address's time after which another is asked for
const OPENED = 0.9; // of its time in which it is opened: it takes a while to reach the node
const SOON = 0.3; // the same for what is asked for along with others, so that a page goes on with one call
const LATELY = 10_000; // ms: what nobody has used for so long is not shown any more
const NOWHERE = 2000; // ms until it is asked again where something is that no node serves; the lists tell it sooner
const FORGOTTEN = 600_000; // ms, the same: its addresses are not remembered any more
const MOST = 256; // of each kind in one call
const AGAIN = [500, 1000, 2000, 5000, 10_000]; // ms until the next try after failures in a row
const REFUSED = 30_000; // ms between two refusals that have nothing to do with one another
const PAUSE = 5000; // ms until the next try with what a node refuses again and again, or after the sign-in has ended
const NOBODY = 401; // the dashboard's answer when it knows us no more

const LIFE = 0.85; // of a signed stream's time after which its successor is opened
const SPARE = 2000; // ms before its end, when that is sooner: ends are told in whole seconds, and nodes may be busy

/** @typedef {"sessions" | "cameras"} Kind */
/** @typedef {"stream_url" | "snapshot_url" | "detections_url" | "stats_url" | "image_url"} View */

const ROOT = new URL(at("/"), window.location.href); // below it are the addresses that are the dashboard's own
/** @type {Map<string, Addresses>} */
const all = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();
let timer = 0;
let timerAt = Number.POSITIVE_INFINITY;
let failures = 0;
let askedWho = Number.NEGATIVE_INFINITY;
let shut = false; // the dashboard knew us no more when it was asked last
let shutUntil = Number.NEGATIVE_INFINITY;

/** Those of one session or camera; the same object for all who show it. @param {Kind} kind @param {string} id */
export function addressesOf(kind, id) {
  const known = all.get(`${kind} ${id}`);
  if (known) return known;
  const one = new Addresses(kind, id);
  all.set(`${kind} ${id}`, one);
  return one;
}

/** Call `listener` whenever there are new addresses. @param {() => void} listener */
export function onAddresses(listener) {
  listeners.add(listener);
}

/** Whether this browser's sign-in has ended: then nothing is amiss with any node. */
export function isShut() {
  return shut;
}

/** Whether a node answered so to an address that it does not accept. @param {number} status */
export function isRefusal(status) {
  return status === 401 || status === 403;
}

export class Addresses {
  /** @param {Kind} kind @param {string} id */
  constructor(kind, id) {
    this.kind = kind;
    this.id = id;
    /** @type {Record<string, any> | null} */
    this.found = null;
    this.placement = ""; // as the lists tell it
    this.token = 0; // likewise, of a session
    this.at = 0; // when they were asked for
    this.until = 0; // when they can be opened no more
    this.seconds = 0; // for which they can be opened; 0 for ever
    /** @type {number | null} ms after `at` after which what they opened ends; null for never */
    this.lasting = null;
    this.usedAt = Number.NEGATIVE_INFINITY;
    this.old = false; // it was placed elsewhere since
    this.wanted = false;
    this.asking = false;
    this.notBefore = 0;
    this.refusedAt = Number.NEGATIVE_INFINITY;
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /** The node that serves it. */
  get node() {
    return String(this.found?.node ?? this.id);
  }

  /** When the successors of the streams that it opens are to be opened, by the page's clock; Infinity for never. */
  get renewAt() {
    const { at, lasting } = this;
    return lasting === null ? Number.POSITIVE_INFINITY : at + Math.max(lasting / 2, Math.min(LIFE * lasting, lasting - SPARE));
  }

  /**
   * Where it is as the lists tell: they are quicker than anybody who asks.
   * @param {string} placement changes with it
   * @param {number} [token] of a session's placement
   * @returns {boolean} whether it is another one than before
   */
  placed(placement, token = 0) {
    if (placement === this.placement) return false;
    const first = !this.placement;
    this.placement = placement;
    this.token = token;
    this.notBefore = 0;
    if (!this.found || (token && this.found.token >= token)) return !first;
    this.old = true;
    if (this.isShown()) this.want();
    return true;
  }

  /** The address of now; "" while there is none, and then it is asked for. @param {View} view */
  address(view) {
    const now = performance.now();
    this.usedAt = now;
    const good = this.found !== null && now < this.until && !this.old;
    if (!good || this.isAged(now, KEPT)) this.want();
    return good ? new URL(this.found?.[view] ?? "", ROOT).href : "";
  }

  /** Ask anew; resolves when there is an answer, or none to be had. @returns {Promise<void>} */
  fresh() {
    if (shut && performance.now() < shutUntil) return Promise.resolve();
    this.usedAt = performance.now();
    this.notBefore = 0;
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.want();
    });
  }

  /** A node did not accept `address`: there may be a better one, or this page's sign-in is over. @param {string} address */
  refused(address) {
    if (!this.found || !Object.values(this.found).some((one) => address.startsWith(new URL(String(one), ROOT).href))) return;
    const now = performance.now();
    const again = now - this.refusedAt < REFUSED;
    this.refusedAt = now;
    this.found = null;
    if (again) {
      this.notBefore = now + PAUSE;
      askWho();
    } else this.want();
  }

  // --- for those who ask

  /** @param {number} now */
  isShown(now = performance.now()) {
    return this.waiting.length > 0 || now - this.usedAt < LATELY;
  }

  /** @param {number} now @param {number} share of their time */
  isAged(now, share) {
    return this.seconds > 0 && now - this.at > share * this.seconds * 1000;
  }

  want() {
    this.wanted = true;
    if (!this.asking) schedule(TOGETHER);
  }

  /** @param {any} document @param {{at: number, seconds: number | null, lasting: number | null}} times */
  learn(document, { at, seconds, lasting }) {
    this.found = document ?? null;
    this.at = at;
    this.seconds = seconds ?? 0;
    this.until = seconds === null ? Number.POSITIVE_INFINITY : at + OPENED * seconds * 1000;
    this.lasting = lasting === null ? null : lasting * 1000;
    this.old = this.wanted = false;
    const late = document && document.token < this.token; // whoever answered has not heard of the move yet
    this.notBefore = late ? at + AGAIN[0] : document ? 0 : at + NOWHERE;
    if (late) this.old = this.wanted = true;
  }
}

/** Ask in so many ms, unless that is done sooner anyway. @param {number} after */
function schedule(after) {
  const at = performance.now() + after;
  if (at >= timerAt) return;
  window.clearTimeout(timer);
  timerAt = at;
  timer = window.setTimeout(ask, after);
}

async function ask() {
  timerAt = Number.POSITIVE_INFINITY;
  if (document.hidden) return;
  const now = performance.now();
  const due = [...all.values()].filter((one) => one.wanted && !one.asking && one.isShown(now));
  const batch = due.filter((one) => one.notBefore <= now);
  for (const one of due) if (one.notBefore > now) schedule(one.notBefore - now);
  if (!batch.length) return;
  for (const one of all.values()) {
    if (!one.asking && !batch.includes(one) && one.isShown(now) && one.isAged(now, SOON)) batch.push(one);
    else if (!one.isShown(now) && now - one.usedAt > FORGOTTEN) one.found = null; // they are long
  }
  const parts = [];
  for (const kind of /** @type {Kind[]} */ (["sessions", "cameras"])) {
    const ids = batch.filter((one) => one.kind === kind);
    for (let from = 0; from < ids.length; from += MOST) parts.push(ids.slice(from, from + MOST));
  }
  // Both kinds go in one call, as long as they fit.
  if (batch.length <= MOST) await askFor(batch, now);
  else await Promise.all(parts.map((part) => askFor(part, now)));
  for (const listener of listeners) listener();
}

/** @param {Addresses[]} batch @param {number} at */
async function askFor(batch, at) {
  const ids = (/** @type {Kind} */ kind) => batch.filter((one) => one.kind === kind).map((one) => one.id);
  for (const one of batch) {
    one.asking = true;
    one.wanted = one.old = false; // whatever comes from now on is asked for again
  }
  try {
    const found = await getTickets({ sessions: ids("sessions"), cameras: ids("cameras") });
    const times = { at, seconds: found.seconds ?? null, lasting: found.stream_seconds ?? null };
    failures = 0;
    shut = false;
    for (const one of batch) {
      const { old } = one;
      one.learn(found[one.kind]?.[one.id], times);
      if (old && one.found?.token !== one.token) one.old = one.wanted = true; // it moved while this was on its way
    }
  } catch (error) {
    if (/** @type {import("./calls.js").Refused} */ (error).status === NOBODY) {
      shut = true;
      shutUntil = performance.now() + PAUSE;
      for (const one of all.values()) one.found = null;
    }
    // The last ones are good while they last.
    const pause = AGAIN[Math.min(failures, AGAIN.length - 1)];
    failures += 1;
    for (const one of batch) {
      one.wanted = true;
      one.notBefore = Math.max(shutUntil, performance.now() + pause);
    }
  }
  for (const one of batch) {
    one.asking = false;
    for (const resolve of one.waiting.splice(0)) resolve();
    if (one.wanted) schedule(Math.max(TOGETHER, one.notBefore - performance.now()));
  }
}

/** The server says who this is; when it is nobody any more, the page goes to the sign-in. */
function askWho() {
  const now = performance.now();
  if (now - askedWho < PAUSE) return;
  askedWho = now;
  getMe().catch(() => {}); // calls.js has seen to it
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) schedule(TOGETHER);
});
