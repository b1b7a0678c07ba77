/** What a session did, second by second, for as long as the charts may show. */

export const LONGEST = 900; // seconds that are kept
const BURST = 0.5; // seconds: frames of less than that came at once, and say nothing of a rate
const LATE = 1.5; // seconds after which the second before is missing: the page was hidden, or the computer asleep

/** @typedef {Map<string, number>} Counts  how many of each label, the mean over a second's frames */
/** @typedef {(number | null)[]} Values  null: there was no picture */

export class Samples {
  constructor() {
    /** @type {number[]} Unix seconds of this computer */
    this.at = [];
    /** @type {Record<"camera" | "searched" | "inference" | "latency", Values>} frames a second, and milliseconds */
    this.values = { camera: [], searched: [], inference: [], latency: [] };
    /** @type {(Counts | null)[]} */
    this.counts = [];
    this.broken = true; // no picture since the last frame
    this.newest = 0; // performance.now() of the newest frame
    this.until = 0; // the same of the newest frame of the seconds before
    this.begin();
  }

  begin() {
    this.frames = this.searched = this.inference = this.latency = 0;
    /** @type {Counts} */
    this.found = new Map();
  }

  /** @param {import("../livestream.js").Detections} detections @param {number} latency ms from its capture until now */
  add(detections, latency) {
    this.newest = performance.now();
    if (this.broken) {
      // A rate is that of the frames after the first: what was before is no interval.
      this.broken = false;
      this.until = this.newest;
      this.begin();
      return;
    }
    this.frames += 1;
    if (!detections.gated) {
      this.searched += 1;
      this.inference += detections.inference_ms;
    }
    this.latency += latency;
    for (const { label } of detections.objects) this.found.set(label, (this.found.get(label) ?? 0) + 1);
  }

  /** No picture comes any more: a gap begins. */
  lack() {
    this.broken = true;
  }

  /**
   * A second is over. What it had is kept, and given back; null when there was no picture.
   * @param {number} at Unix seconds
   * @param {number | null} camera its frames a second
   * @returns {Counts | null}
   */
  close(at, camera) {
    const last = this.at.length - 1;
    if (last >= 0 && at - this.at[last] > LATE) this.keep(this.at[last] + 1, null, null, null, null, null);
    const seconds = (this.newest - this.until) / 1000;
    if (this.broken) this.keep(at, camera, null, null, null, null);
    else if (seconds > BURST) {
      const { frames, searched } = this;
      const inference = searched ? this.inference / searched : null; // all were still: none was searched
      const counts = new Map([...this.found].map(([label, count]) => [label, count / frames]));
      this.keep(at, camera, searched / seconds, inference, this.latency / frames, counts);
      this.until = this.newest;
      this.begin();
    } else {
      // A stream slower than the clock, or one that has just begun: what was last is still so.
      const { searched, inference, latency } = this.values;
      this.keep(at, camera, searched[last] ?? null, inference[last] ?? null, latency[last] ?? null, this.counts[last] ?? null);
    }
    return this.counts[this.counts.length - 1];
  }

  /**
   * @param {number} at
   * @param {number | null} camera
   * @param {number | null} searched
   * @param {number | null} inference
   * @param {number | null} latency
   * @param {Counts | null} counts
   */
  keep(at, camera, searched, inference, latency, counts) {
    this.at.push(at);
    this.values.camera.push(camera);
    this.values.searched.push(searched);
    this.values.inference.push(inference);
    this.values.latency.push(latency);
    this.counts.push(counts);
    if (this.at.length <= LONGEST) return;
    for (const list of [this.at, ...Object.values(this.values), this.counts]) list.shift();
  }

  /** The index of the first sample that is not older. @param {number} at Unix seconds */
  since(at) {
    const found = this.at.findIndex((one) => one >= at);
    return found < 0 ? this.at.length : found;
  }
}
