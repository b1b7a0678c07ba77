/** One tile in full motion: the session's own stream, or the camera's. It holds one or two connections while it runs. */

import { LiveStream } from "../livestream.js";
import { MovingPicture } from "../mjpeg.js";
import { Overlay } from "../overlay.js";
import { isRefusal } from "../tickets.js";

const FPS = 25; // frames a second of a camera: more, nobody sees
const WIDTHS = [640, 960, 1280, 1920]; // few sizes: a camera node encodes a size once for all who want it
const SILENCE = 3000; // ms without a frame after which a camera's stream counts as broken
const RETRY = 2000; // ms until it is opened again; single pictures are shown meanwhile
const CHECK = 500; // ms between two looks at the clock

/** @typedef {import("../pictures.js").Pictures} Pictures */
/** @typedef {{onFrame: (signal: string | null) => void, onTrouble: () => void}} CameraTell  signal: why the picture is none */
/**
 * @typedef {{onFrame: (detections: import("../livestream.js").Detections) => void, onFlow: () => void,
 *   onTrouble: (words: string) => void, onSilence: () => Promise<void>}} SessionTell
 */

/** A camera's stream. */
export class CameraMotion {
  /** @param {Pictures} pictures @param {import("../tickets.js").Addresses} where of the camera @param {CameraTell} tell */
  constructor(pictures, where, tell) {
    this.frame = pictures.frame;
    this.where = where;
    this.tell = tell;
    const wanted = this.frame.clientWidth * Math.min(window.devicePixelRatio, 2);
    this.width = WIDTHS.find((one) => one >= wanted * 0.85) ?? WIDTHS[WIDTHS.length - 1];
    this.heard = 0;
    this.retry = 0;
    this.renewAt = Number.POSITIVE_INFINITY;
    this.picture = new MovingPicture(async (blob, headers) => {
      await pictures.draw(blob);
      if (!this.picture.src) return; // it has just been ended
      this.heard = performance.now();
      this.frame.classList.add("in-motion");
      tell.onFrame(headers.get("x-no-signal") ?? null);
    });
    this.over = new AbortController();
    for (const kind of ["error", "missed"]) {
      this.picture.addEventListener(
        kind,
        (event) => {
          const { status, address } = /** @type {CustomEvent} */ (event).detail;
          if (isRefusal(status)) where.refused(address);
          if (kind === "error") this.broke();
        },
        { signal: this.over.signal },
      );
    }
    document.addEventListener("visibilitychange", () => this.open(), { signal: this.over.signal });
    this.clock = window.setInterval(() => {
      if (this.picture.src && performance.now() - this.heard > SILENCE) this.broke();
      if (performance.now() > this.renewAt) this.renew();
    }, CHECK);
    this.open();
  }

  /** "" while it has none. */
  address() {
    const address = this.where.address("stream_url");
    if (!address) return "";
    const url = new URL(address);
    url.searchParams.set("width", String(this.width));
    url.searchParams.set("fps", String(FPS));
    return url.href;
  }

  async open() {
    window.clearTimeout(this.retry);
    this.picture.removeAttribute("src");
    if (document.hidden) return;
    if (!this.address()) await this.where.fresh();
    if (this.over.signal.aborted || document.hidden || this.picture.src) return;
    this.heard = performance.now();
    const address = this.address();
    if (!address) {
      this.broke();
      return;
    }
    this.picture.src = address;
    this.renewAt = this.where.renewAt;
  }

  /** Open the successor of what will end soon. */
  async renew() {
    this.renewAt = performance.now() + RETRY;
    await this.where.fresh();
    const address = this.address();
    if (!this.picture.src || !address) return;
    this.picture.succeed(address);
    this.renewAt = this.where.renewAt;
  }

  broke() {
    this.renewAt = Number.POSITIVE_INFINITY;
    this.picture.removeAttribute("src");
    this.frame.classList.remove("in-motion");
    this.tell.onTrouble();
    window.clearTimeout(this.retry);
    this.retry = window.setTimeout(() => this.open(), RETRY);
  }

  end() {
    this.over.abort();
    window.clearInterval(this.clock);
    window.clearTimeout(this.retry);
    this.frame.classList.remove("in-motion");
    this.picture.removeAttribute("src"); // gives the connection back
  }
}

/** A session's stream with its detections, which finds its way back after any break. */
export class SessionMotion {
  /**
   * @param {Pictures} pictures
   * @param {import("../tickets.js").Addresses} where of the session
   * @param {import("../tickets.js").Addresses | null} camera of the camera, when this browser draws the boxes over its own pictures
   * @param {SessionTell} tell
   */
  constructor(pictures, where, camera, tell) {
    this.frame = pictures.frame;
    /** @type {Overlay | null} */
    this.overlay = null;
    const picture = new MovingPicture((blob) => pictures.draw(blob));
    this.stream = new LiveStream(picture, where, {
      onSilence: tell.onSilence,
      onFrame: (detections) => {
        this.overlay?.draw(detections);
        tell.onFrame(detections);
      },
      onFlow: () => {
        this.frame.classList.add("in-motion");
        tell.onFlow();
      },
      onTrouble: (words) => {
        this.frame.classList.remove("in-motion");
        this.overlay?.clear();
        tell.onTrouble(words);
      },
    });
    if (camera) {
      const boxes = document.createElement("canvas");
      boxes.className = "boxes";
      pictures.canvas.after(boxes);
      this.overlay = new Overlay(boxes);
      this.stream.show(camera);
    }
    this.stream.start();
  }

  /** The session has another placement. */
  moved() {
    this.stream.moved();
  }

  end() {
    this.stream.stop();
    this.frame.classList.remove("in-motion");
    this.overlay?.canvas.remove();
  }
}
