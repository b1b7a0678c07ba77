/** The live picture and the detections of one session, which find their way back after any break. */

import { Events } from "./events.js";
import { t } from "./i18n.js";
import { isRefusal, isShut } from "./tickets.js";
import { at } from "./root.js";

const PATIENCE = 1000; // ms without a frame's detections after which the node counts as gone
const START = 3000; // ms, the same until the second frame: a camera may be slow to begin, or slow by nature
const INTERVALS = 3; // of the stream's own from one frame to the next: who watches a slow one waits longer
const NO_SIGNAL = 3000; // ms: while the camera gives nothing, its node says so about once a second and is not at fault
const LONGEST = 8000; // ms: patience doubles with each move that brought no frame, so that nothing is tossed about
const RETRY = [0, 200, 400, 800]; // ms before the next try, after tries in a row without a frame
const CHECK = 100; // ms between two looks at the clock
const FLOWS = 500; // ms: with a younger frame there is nothing to mend
const MISSED = 2000; // ms until the next try when a successor came to nothing
const UNWELCOME = 5000; // ms, the same when the node refuses what the registry signed

/**
 * @typedef {{label: string, confidence: number, box: number[]}} Found
 * @typedef {{inference_ms: number, model: string | null, age_ms?: number, no_signal?: string, objects: Found[],
 *   gated?: boolean, frame: {sequence: number, captured_at: number, width: number, height: number}}} Detections
 */

/**
 * A browser does not say when an MJPEG picture stands still. The detections come with every frame of the same
 * pipeline, so their pulse stands for both, and both are renewed together.
 *
 * onSilence is called when the node counts as gone: it has the session moved. A node that refuses a signed address is
 * not gone: then the registry is asked for another.
 */
export class LiveStream {
  /**
   * @param {import("./mjpeg.js").MovingPicture} image
   * @param {import("./tickets.js").Addresses} where  of the session
   * @param {{onFrame: (detections: Detections) => void, onFlow: () => void, onTrouble: (words: string) => void,
   *   onSilence: () => Promise<void>}} tell
   */
  constructor(image, where, tell) {
    this.image = image;
    this.where = where;
    /** @type {import("./tickets.js").Addresses | null} */
    this.camera = null; // whose own pictures are shown
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
    this.unwelcome = false; // the node refused the address
    this.renewAt = Number.POSITIVE_INFINITY;
    this.turn = 0; // of connecting: an answer to what was asked before the last turn comes too late
    this.stopped = false;
    this.connecting = false; // pictures that still come are of before, and are replaced in a moment
    /** @type {import("./flow.js").Reading | null} */
    this.reading = null; // of the newest frame
    this.events = new Events({
      // Only now: while no node serves the session, the last picture stays.
      onOpen: () => this.load(),
      onData: (data, reading) => {
        this.frame(data, reading !== this.reading);
        this.reading = reading;
      },
      onOver: (status, address) => this.broke(this.where, status, address, t("The connection to the node broke off")),
      onMissed: (status, address) => this.missed(this.where, status, address),
    });
    image.addEventListener("error", (event) => {
      const { status, address } = /** @type {CustomEvent} */ (event).detail;
      // When a session moves, both streams end. The second end must not break off the try that follows the first one.
      if (this.running && !this.connecting) this.broke(this.shown, status, address, t("The picture broke off"));
    });
    image.addEventListener("missed", (event) => {
      const { status, address } = /** @type {CustomEvent} */ (event).detail;
      this.missed(this.shown, status, address);
    });
    this.over = new AbortController(); // else the page would hold on to every stream that there was
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.start()), { signal: this.over.signal });
  }

  /** Whose pictures are shown. */
  get shown() {
    return this.camera ?? this.where;
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
    this.turn += 1;
    this.events.close();
    this.image.removeAttribute("src");
  }

  stop() {
    this.stopped = true;
    this.over.abort();
    this.pause();
  }

  /** Show the pictures of a camera itself, or null for the session's own. @param {import("./tickets.js").Addresses | null} camera */
  async show(camera) {
    if (camera === this.camera) return;
    this.camera = camera;
    if (!this.running || !this.image.hasAttribute("src")) return;
    if (!this.shown.address("stream_url")) await this.shown.fresh();
    if (this.running && this.camera === camera) this.load();
  }

  load() {
    const address = this.shown.address("stream_url");
    if (!address) {
      this.connecting = false;
      this.broke(this.shown, 0, "", t("The picture broke off"));
      return;
    }
    this.image.src = address;
    this.connecting = false;
    this.renewInTime();
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

  /** @param {boolean} [anew] the addresses that are known may be to blame */
  async connect(anew = false) {
    window.clearTimeout(this.timer);
    this.timer = 0;
    this.turn += 1;
    this.renewAt = Number.POSITIVE_INFINITY; // nothing is open that could have a successor
    this.connecting = true;
    const { turn } = this;
    this.events.close();
    const needed = this.camera ? [this.where, this.camera] : [this.where];
    const lacking = needed.filter((one) => anew || !one.address("stream_url"));
    if (lacking.length) await Promise.all(lacking.map((one) => one.fresh()));
    if (turn !== this.turn || !this.running) return;
    const address = this.where.address("detections_url");
    if (address) this.events.open(address);
    else this.again(isShut() ? t("Your sign-in has ended") : t("The connection to the node broke off"));
  }

  /** Open the successors of what will end soon. */
  async renew() {
    this.renewAt = performance.now() + MISSED;
    const { turn } = this;
    await Promise.all([this.where.fresh(), this.camera?.fresh()]);
    const pictures = this.shown.address("stream_url");
    const detections = this.where.address("detections_url");
    if (turn !== this.turn || !this.running || this.timer || !pictures || !detections) return;
    this.image.succeed(pictures);
    this.events.succeed(detections);
    this.renewInTime();
  }

  renewInTime() {
    this.renewAt = Math.min(this.where.renewAt, this.shown.renewAt);
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
    this.unwelcome = false;
    if (!this.flowing && this.image.naturalWidth > 0) {
      this.flowing = true;
      this.tell.onFlow();
    }
    this.tell.onFrame(detections);
  }

  async check() {
    if (this.asking || document.hidden) return;
    if (performance.now() > this.renewAt) this.renew();
    const quiet = performance.now() - this.heard;
    if (this.unwelcome || isShut() || quiet <= this.patience()) return;
    this.asking = true;
    this.flowing = false;
    this.tell.onTrouble(t("No picture for {n} s", { n: Math.round(quiet / 1000) }));
    await this.tell.onSilence();
    this.asking = false;
    if (!this.running || performance.now() - this.heard < quiet) return; // it came back by itself meanwhile
    this.inVain += 1;
    this.tries = 0;
    this.heard = performance.now();
    this.connect(true);
  }

  /** A stream has ended. @param {import("./tickets.js").Addresses} where @param {number} status @param {string} address @param {string} words */
  broke(where, status, address, words) {
    if (isRefusal(status)) {
      this.unwelcome = true;
      where.refused(address);
      this.again(t("The node does not accept the address that the registry signed"));
    } else this.again(words);
  }

  /** A successor came to nothing; the one before it still goes on. @param {import("./tickets.js").Addresses} where @param {number} status @param {string} address */
  missed(where, status, address) {
    if (isRefusal(status)) where.refused(address);
    this.renewAt = performance.now() + MISSED;
  }

  /** @param {string} words */
  again(words) {
    if (this.timer || !this.running) return;
    this.flowing = this.connecting = false;
    this.turn += 1;
    this.events.close();
    this.tell.onTrouble(words);
    const pause = isShut() || (this.unwelcome && this.tries > 1) ? UNWELCOME : RETRY[Math.min(this.tries, RETRY.length - 1)];
    this.tries += 1;
    this.timer = window.setTimeout(() => this.connect(true), pause);
  }
}
