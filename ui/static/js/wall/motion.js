/** One tile in full motion: the session's own stream, or the camera's. It holds one or two connections while it runs. */

import { LiveStream } from "../livestream.js";
import { MovingPicture } from "../mjpeg.js";
import { Overlay } from "../overlay.js";

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
  /** @param {Pictures} pictures @param {string} url the camera's @param {CameraTell} tell */
  constructor(pictures, url, tell) {
    this.frame = pictures.frame;
    this.tell = tell;
    const wanted = this.frame.clientWidth * Math.min(window.devicePixelRatio, 2);
    const width = WIDTHS.find((one) => one >= wanted * 0.85) ?? WIDTHS[WIDTHS.length - 1];
    this.address = `${url}/stream.jpg?width=${width}&fps=${FPS}`;
    this.heard = 0;
    this.retry = 0;
    this.picture = new MovingPicture(async (blob, headers) => {
      await pictures.draw(blob);
      if (!this.picture.src) return; // it has just been ended
      this.heard = performance.now();
      this.frame.classList.add("in-motion");
      tell.onFrame(headers.get("x-no-signal") ?? null);
    });
    this.over = new AbortController();
    this.picture.addEventListener("error", () => this.broke(), { signal: this.over.signal });
    document.addEventListener("visibilitychange", () => this.open(), { signal: this.over.signal });
    this.clock = window.setInterval(() => {
      if (this.picture.src && performance.now() - this.heard > SILENCE) this.broke();
    }, CHECK);
    this.open();
  }

  open() {
    window.clearTimeout(this.retry);
    this.heard = performance.now();
    if (document.hidden) this.picture.removeAttribute("src");
    else this.picture.src = this.address;
  }

  broke() {
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
   * @param {string} session
   * @param {string} camera where the camera's own stream is, when this browser draws the boxes over it; else ""
   * @param {SessionTell} tell
   */
  constructor(pictures, session, camera, tell) {
    this.frame = pictures.frame;
    /** @type {Overlay | null} */
    this.overlay = null;
    const picture = new MovingPicture((blob) => pictures.draw(blob));
    this.stream = new LiveStream(picture, session, {
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
