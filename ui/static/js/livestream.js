/** The live picture and the detections of one session, which find their way back after any break. */

const STALL = 3000; // ms without a frame's detections after which both are asked for again
const START = 10_000; // ms for the first frame: a camera that is far away needs a few seconds
const RETRY = [500, 1000, 2000, 4000]; // ms before the next try, after tries in a row without a frame
const CHECK = 250; // ms between two looks at the clock

/**
 * @typedef {{label: string, confidence: number, box: number[]}} Found
 * @typedef {{inference_ms: number, model: string | null, age_ms?: number, no_signal?: string, objects: Found[],
 *   gated?: boolean, frame: {sequence: number, captured_at: number, width: number, height: number}}} Detections
 */

/**
 * A browser does not say when an MJPEG picture stands still. The detections come with every frame of the same
 * pipeline, so their pulse stands for both, and both are renewed together.
 */
export class LiveStream {
  /**
   * @param {HTMLImageElement} image
   * @param {string} session
   * @param {{onFrame: (detections: Detections) => void, onFlow: () => void, onTrouble: (words: string) => void}} tell
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
    this.since = 0;
    this.stopped = false;
    /** @type {EventSource | null} */
    this.events = null;
    image.addEventListener("error", () => {
      image.classList.add("broken"); // the browser's own sign for that is no picture
      if (this.running) this.again("The picture broke off");
    });
    image.addEventListener("load", () => image.classList.remove("broken"));
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.start()));
  }

  start() {
    if (this.stopped || this.running || document.hidden) return;
    this.running = true;
    this.tries = 0;
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

  /** The session has moved: follow it at once. */
  moved() {
    if (!this.running) return;
    this.tries = 0;
    this.flowing = false;
    this.tell.onTrouble("Moving to another node");
    this.connect();
  }

  connect() {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.since = performance.now();
    this.events?.close();
    const events = (this.events = new EventSource(`${this.base}/detections?_=${Date.now().toString(36)}`));
    // Only now: while no node serves the session, the last picture stays.
    events.onopen = () => this.load();
    events.onmessage = (event) => this.frame(event.data);
    events.onerror = () => {
      if (events === this.events) this.again("The connection to the node broke off");
    };
  }

  /** @param {string} data */
  frame(data) {
    /** @type {Detections} */
    let detections;
    try {
      detections = JSON.parse(data);
    } catch {
      return; // half a message of a node that was killed; the clock notices if no more come
    }
    this.since = performance.now();
    this.tries = 0;
    if (!this.flowing && this.image.naturalWidth > 0) {
      this.flowing = true;
      this.image.classList.remove("broken");
      this.tell.onFlow();
    }
    this.tell.onFrame(detections);
  }

  check() {
    if (this.timer || document.hidden) return;
    const quiet = performance.now() - this.since;
    if (quiet > (this.flowing ? STALL : START)) this.again(`No picture for ${Math.round(quiet / 1000)} s`);
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
