/** The live picture and the detections of one session, which find their way back after any break. */

import { t } from "./i18n.js";

const PATIENCE = 1000; // ms without a frame's detections after which the node counts as gone
const START = 3000; // ms, the same until the second frame: a camera may be slow to begin, or slow by nature
const INTERVALS = 3; // of the stream's own from one frame to the next: who watches a slow one waits longer
const NO_SIGNAL = 3000; // ms: while the camera gives nothing, its node says so about once a second and is not at fault
const LONGEST = 8000; // ms: patience doubles with each move that brought no frame, so that nothing is tossed about
const RETRY = [0, 200, 400, 800]; // ms before the next try, after tries in a row without a frame
const CHECK = 100; // ms between two looks at the clock
const FLOWS = 500; // ms: with a younger frame there is nothing to mend

/**
 * @typedef {{label: string, confidence: number, box: number[]}} Found
 * @typedef {{inference_ms: number, model: string | null, age_ms?: number, no_signal?: string, objects: Found[],
 *   gated?: boolean, frame: {sequence: number, captured_at: number, width: number, height: number}}} Detections
 */

/**
 * A browser does not say when an MJPEG picture stands still. The detections come with every frame of the same
 * pipeline, so their pulse stands for both, and both are renewed together.
 *
 * onSilence is called when the node counts as gone: it has the session moved.
 */
export class LiveStream {
  /**
   * @param {import("./mjpeg.js").MovingPicture} image
   * @param {string} session
   * @param {{onFrame: (detections: Detections) => void, onFlow: () => void, onTrouble: (words: string) => void,
   *   onSilence: () => Promise<void>}} tell
   */
  constructor(image, session, tell) {
    this.image = image;
    this.base = `/sessions/${encodeURIComponent(session)}`;
    this.pictures = `${this.base}/stream`;
    this.tell = tell;
    this.tries = 0;
    this.timer = 0;
    this.clock = 0;
    this.flowing = false;
    this.running = false;
    this.asking = false;
    this.heard = 0; // when the newest frame came, or the session was moved
    this.frames = 0;
    this.usual = 0; // ms from one frame to the next
    this.noSignal = false;
    this.inVain = 0; // moves since the newest frame
    this.stopped = false;
    /** @type {EventSource | null} */
    this.events = null;
    image.addEventListener("error", () => {
      if (this.running) this.again(t("The picture broke off"));
    });
    this.over = new AbortController(); // else the page would hold on to every stream that there was
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.start()), { signal: this.over.signal });
  }

  start() {
    if (this.stopped || this.running || document.hidden) return;
    this.running = true;
    this.tries = this.inVain = this.frames = this.usual = 0;
    this.heard = performance.now();
    this.connect();
    this.clock = window.setInterval(() => this.check(), CHECK);
  }

  /** Give the connections back; `start` takes them up again. */
  pause() {
    this.running = false;
    this.flowing = false;
    window.clearTimeout(this.timer);
    window.clearInterval(this.clock);
    this.events?.close();
    this.events = null;
    this.image.removeAttribute("src");
  }

  stop() {
    this.stopped = true;
    this.over.abort();
    this.pause();
  }

  /** Show the pictures of another address. @param {string} address */
  show(address) {
    if (address === this.pictures) return;
    this.pictures = address;
    if (this.running && this.image.hasAttribute("src")) this.load();
  }

  load() {
    // Another address each time: the browser must not go on with the answer that broke.
    this.image.src = `${this.pictures}?_=${Date.now().toString(36)}`;
  }

  /** The session has moved: follow it at once, unless its frames come already. */
  moved() {
    if (!this.running || this.asking || performance.now() - this.heard < FLOWS) return;
    this.tries = 0;
    this.heard = performance.now();
    this.flowing = false;
    this.connect();
  }

  /** Ms without a frame after which the node counts as gone. */
  patience() {
    const usual = this.frames < 2 ? START : this.noSignal ? NO_SIGNAL : Math.max(PATIENCE, INTERVALS * this.usual);
    return Math.max(usual, Math.min(LONGEST, PATIENCE * 2 ** this.inVain));
  }

  connect() {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.events?.close();
    let first = true;
    const events = (this.events = new EventSource(`${this.base}/detections?_=${Date.now().toString(36)}`));
    // Only now: while no node serves the session, the last picture stays.
    events.onopen = () => this.load();
    events.onmessage = (event) => {
      this.frame(event.data, first);
      first = false;
    };
    events.onerror = () => {
      if (events === this.events) this.again(t("The connection to the node broke off"));
    };
  }

  /** @param {string} data @param {boolean} first of this connection: the time before it is no interval */
  frame(data, first) {
    /** @type {Detections} */
    let detections;
    try {
      detections = JSON.parse(data);
    } catch {
      return; // half a message of a node that was killed; the clock notices if no more come
    }
    const now = performance.now();
    if (!first) this.usual += this.usual ? (now - this.heard - this.usual) / 8 : now - this.heard;
    this.heard = now;
    this.frames += 1;
    this.noSignal = Boolean(detections.no_signal);
    this.tries = this.inVain = 0;
    if (!this.flowing && this.image.naturalWidth > 0) {
      this.flowing = true;
      this.tell.onFlow();
    }
    this.tell.onFrame(detections);
  }

  async check() {
    if (this.asking || document.hidden) return;
    const quiet = performance.now() - this.heard;
    if (quiet <= this.patience()) return;
    this.asking = true;
    this.flowing = false;
    this.tell.onTrouble(t("No picture for {n} s", { n: Math.round(quiet / 1000) }));
    await this.tell.onSilence();
    this.asking = false;
    if (!this.running || performance.now() - this.heard < quiet) return; // it came back by itself meanwhile
    this.inVain += 1;
    this.tries = 0;
    this.heard = performance.now();
    this.connect();
  }

  /** @param {string} words */
  again(words) {
    if (this.timer || !this.running) return;
    this.flowing = false;
    this.events?.close();
    this.tell.onTrouble(words);
    const pause = RETRY[Math.min(this.tries, RETRY.length - 1)];
    this.tries += 1;
    this.timer = window.setTimeout(() => this.connect(), pause);
  }
}
