/** What a stream does now, measured from the frames' detections as they arrive. */

const WINDOW = 2000; // ms over which frames are counted
const SMOOTH = 0.15; // weight of a new value: numbers that can be read
const SLOW = 2; // frames that are counted in any case: a stream may have one in five seconds

export class Meter {
  constructor() {
    this.reset();
  }

  reset() {
    /** @type {number[]} */
    this.arrivals = [];
    /** @type {number | null} */
    this.inference = null;
    /** @type {number | null} */
    this.latency = null;
  }

  /** @param {import("./livestream.js").Detections} detections @param {number} [latency] ms, the node's own word when missing */
  add(detections, latency = detections.age_ms) {
    const now = performance.now();
    this.arrivals.push(now);
    while (this.arrivals.length > SLOW && this.arrivals[0] < now - WINDOW) this.arrivals.shift();
    if (!detections.gated) this.inference = smooth(this.inference, detections.inference_ms);
    this.latency = smooth(this.latency, latency);
  }

  /** Frames a second; null before there are enough to say. */
  get fps() {
    const intervals = this.arrivals.length - 1;
    if (intervals < 1) return null;
    const [first, last] = [this.arrivals[0], this.arrivals[intervals]];
    const now = performance.now();
    // A stream that ceases must not keep its rate.
    const late = now - last > Math.max(WINDOW, (2 * (last - first)) / intervals);
    return (intervals * 1000) / ((late ? now : last) - first);
  }
}

/** @param {number | null} before @param {number | undefined} value */
function smooth(before, value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return before;
  return before === null ? value : before + SMOOTH * (value - before);
}
