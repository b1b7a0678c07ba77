/** Small pictures that stay new: a fair share of requests for each, only for those that are seen.
 *
 * A browser opens about six connections to a server, and a wall may show dozens of pictures of one. So they take turns:
 * the one that has waited longest is next, few are under way at once, and none is asked for before the last one came.
 * Nothing queues up; where the node or this machine is slow, pictures come less often.
 */

import { Painting } from "./painting.js";
import { NoPicture, load, loadPlain, unreadable } from "./still.js";
import { isRefusal, onAddresses } from "./tickets.js";

const PACE = 550; // ms between two pictures: enough to see movement
const SLOWEST = 2000; // ms, the same on a machine that does not keep up
const LATE = 60; // ms by which a timer comes late when the machine does not keep up
const SHARE = 0.5; // of its time that a tile may have a request under way: a slow node is asked less often
const AT_A_NODE = 3; // requests under way to one server: some connections stay free for streams
const AT_ONCE = 8; // requests under way in all
const PATIENCE = 9000; // ms: a compute node waits up to 8 s for a camera's first picture
const WIDTHS = [320, 480, 640, 960, 1280]; // few sizes: a node encodes a size once for all who want it
const QUALITY = "70";
const RETRY = [1000, 2000, 5000]; // ms after failures in a row
const RETRY_UNREACHED = [150, 400, 800, 1500, 3000]; // ms, the same where no server answers: another may do so soon

/** @type {Set<Pictures>} */
const all = new Set();
/** @type {WeakMap<Element, Pictures>} */
const byFrame = new WeakMap();
/** @type {Map<string, number>} */
const underWay = new Map();
let total = 0;
let pace = PACE;
let timer = 0;
let expected = 0; // when the timer shall come
/** @type {Element | null} */
let alone = null;

const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) byFrame.get(target)?.see(isIntersecting);
    pump();
  },
  { rootMargin: "80px" },
);
document.addEventListener("visibilitychange", pump);
onAddresses(pump);
document.addEventListener("fullscreenchange", () => {
  alone = document.fullscreenElement === document.documentElement ? null : document.fullscreenElement;
  pump();
});

/** Begin the requests whose turn it is. */
function pump() {
  window.clearTimeout(timer);
  timer = 0;
  if (document.hidden) return;
  const now = performance.now();
  const waiting = [...all].filter((one) => one.isWanted() && !one.request).sort((a, b) => a.due - b.due);
  for (const one of waiting) {
    if (one.due > now) {
      expected = one.due;
      timer = window.setTimeout(onTime, one.due - now);
      return;
    }
    const address = one.where?.address(one.view);
    if (!address) continue; // it has been asked for: the next turn comes with it
    const { origin } = new URL(address);
    if (total < AT_ONCE && (underWay.get(origin) ?? 0) < AT_A_NODE) one.turn(address, origin);
  }
}

function onTime() {
  const late = performance.now() - expected > LATE;
  pace = late ? Math.min(SLOWEST, pace * 1.1) : Math.max(PACE, pace * 0.99);
  pump();
}

/** @param {string} origin @param {1 | -1} by */
function count(origin, by) {
  underWay.set(origin, (underWay.get(origin) ?? 0) + by);
  if (!underWay.get(origin)) underWay.delete(origin);
  total += by;
}

export class Pictures {
  /**
   * @param {HTMLCanvasElement} canvas where they are drawn
   * @param {{onPicture: (stamps: import("./still.js").Stamps) => void, onTrouble: (trouble: NoPicture) => void, onSight: (seen: boolean) => void}} tell
   */
  constructor(canvas, tell) {
    this.canvas = canvas;
    this.painting = new Painting(canvas);
    this.frame = /** @type {HTMLElement} */ (canvas.parentElement);
    this.tell = tell;
    /** @type {import("./tickets.js").Addresses | null} */
    this.where = null;
    /** @type {import("./tickets.js").View} */
    this.view = "image_url";
    this.plain = false;
    this.seen = false;
    this.rest = 0; // ms between two pictures at least; Infinity while somebody else draws
    this.patience = PATIENCE; // ms
    this.due = 0;
    this.usual = 0; // ms that an answer takes
    this.failures = 0;
    /** @type {AbortController | null} */
    this.request = null;
    all.add(this);
    byFrame.set(this.frame, this);
    sight.observe(this.frame);
  }

  /**
   * Where the pictures are; null for nowhere.
   * @param {import("./tickets.js").Addresses | null} where
   * @param {import("./tickets.js").View} [view]
   * @param {boolean} [plain] it allows no reading by pages of elsewhere, so pictures come without stamps
   */
  aim(where, view = "image_url", plain = false) {
    this.plain = plain;
    if (where === this.where && view === this.view) return;
    this.where = where;
    this.view = view;
    this.anew();
  }

  /** Another node has them now. */
  anew() {
    this.failures = this.usual = this.due = 0;
    this.request?.abort();
    this.request = null;
    pump();
  }

  /** Ask at most every so many ms. @param {number} ms */
  slow(ms) {
    if (ms === this.rest) return;
    if (ms < this.rest) this.due = 0;
    this.rest = ms;
    pump();
  }

  /** @param {boolean} seen */
  see(seen) {
    if (seen === this.seen) return;
    this.seen = seen;
    this.tell.onSight(seen);
  }

  isWanted() {
    const covered = alone !== null && !alone.contains(this.frame);
    return this.where !== null && this.seen && !covered && this.rest !== Number.POSITIVE_INFINITY;
  }

  leave() {
    sight.unobserve(this.frame);
    all.delete(this);
    this.aim(null);
  }

  /** @param {string} address @param {string} origin its server */
  async turn(address, origin) {
    const began = performance.now();
    const request = (this.request = new AbortController());
    const { patience, where } = this;
    const deadline = window.setTimeout(() => request.abort("late"), patience);
    count(origin, 1);
    /** @type {import("./still.js").Stamps | null} */
    let stamps = null;
    let trouble = null;
    try {
      stamps = await this.load(address, request.signal);
    } catch (error) {
      trouble = error instanceof NoPicture ? error : unreadable();
    }
    window.clearTimeout(deadline);
    count(origin, -1);
    if (this.request === request) {
      this.request = null;
      const took = performance.now() - began;
      this.usual += this.usual ? (took - this.usual) / 4 : took;
      this.failures = trouble ? this.failures + 1 : 0;
      const steps = trouble?.kind === "unreached" ? RETRY_UNREACHED : RETRY;
      const pause = trouble ? steps[Math.min(this.failures, steps.length) - 1] : Math.max(pace, this.rest, took / SHARE);
      this.due = trouble ? began + took + pause : began + pause;
      if (trouble && isRefusal(trouble.status)) where?.refused(address);
      if (trouble) this.tell.onTrouble(trouble);
      else if (stamps) this.tell.onPicture(stamps);
    }
    pump();
  }

  /** @param {string} address */
  url(address) {
    const url = new URL(address);
    const wanted = this.frame.clientWidth * Math.min(window.devicePixelRatio, 2);
    url.searchParams.set("width", String(WIDTHS.find((width) => width >= wanted * 0.85) ?? WIDTHS[WIDTHS.length - 1]));
    url.searchParams.set("quality", QUALITY);
    return url;
  }

  /** @param {string} address @param {AbortSignal} signal */
  async load(address, signal) {
    const { picture, stamps } = await (this.plain ? loadPlain : load)(this.url(address), signal);
    await this.draw(picture, signal);
    return stamps;
  }

  /** Decoded off the page's own thread, and handed over without a copy. @param {Blob | HTMLImageElement} picture @param {AbortSignal} [signal] */
  async draw(picture, signal) {
    await this.painting.draw(picture, signal);
  }
}
