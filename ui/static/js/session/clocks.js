/** How long ago a frame was captured, by clocks of different computers. */

const KEPT = 30; // words of the server that are compared: one that came late says little, and of so many one was quick
const FAR = 2000; // ms beyond the node's own word after which the clocks are not believed

export class Clocks {
  constructor() {
    /** @type {number[]} seconds by which the server's clock is ahead of this one, at least */
    this.ahead = [];
    this.camera = 0; // seconds by which the camera's clock is ahead of the server's
  }

  /** @param {import("../overview.js").Overview} overview @param {string} camera its id */
  hear(overview, camera) {
    this.ahead.push(overview.now - Date.now() / 1000);
    if (this.ahead.length > KEPT) this.ahead.shift();
    this.camera = Number(overview.nodes.find((node) => node.node_id === camera)?.load?.clock_skew ?? 0);
  }

  /** The server's time, in Unix seconds, by this computer's clock. @param {number} at */
  here(at) {
    return this.ahead.length ? at - Math.max(...this.ahead) : at;
  }

  /** Ms from the frame's capture until now. @param {import("../livestream.js").Detections} detections */
  since({ frame, age_ms: told = 0 }) {
    const found = Date.now() - this.here(frame.captured_at - this.camera) * 1000;
    return found >= told && found <= told + FAR ? found : told;
  }
}
