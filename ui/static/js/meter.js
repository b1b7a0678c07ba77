/** What a stream does, measured from the frames' detections as they arrive. */

const WINDOW = 2000; // ms over which frames are counted
const SMOOTH = 0.15; // weight of a new value: numbers that can be read

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

  /** @param {import("./livestream.js").Detections} detections */
  add(detections) {
    const now = performance.now();
    this.arrivals.push(now);
    while (this.arrivals[0] < now - WINDOW) this.arrivals.shift();
    this.inference = smooth(this.inference, detections.inference_ms);
    this.latency = smooth(this.latency, detections.age_ms);
  }

  /** Frames a second; null before there are enough to say. */
  get fps() {
    const now = performance.now();
    const recent = this.arrivals.filter((at) => at > now - WINDOW);
    if (recent.length < 2) return null;
    return ((recent.length - 1) * 1000) / (recent[recent.length - 1] - recent[0]);
  }
}

/** @param {number | null} before @param {number | undefined} value */
function smooth(before, value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return before;
  return before === null ? value : before + SMOOTH * (value - before);
}
