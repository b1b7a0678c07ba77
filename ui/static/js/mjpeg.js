/** The pictures of an MJPEG stream, one by one.
 *
 * An <img> shows such a stream too, but browsers keep hundreds of decoded frames of it in memory, and tell nothing of
 * what came with a frame. Here the newest frame is drawn, and those that came while one was being drawn are left out.
 */

import { Flow } from "./flow.js";

export const COVER = 1000; // ms without pictures after which a page says so: a planned move is over before

const HEAD = new TextEncoder().encode("\r\n\r\n"); // ends the headers of a part
const LONGEST = 16 * 1024 * 1024; // bytes of a part: more is none of ours

/** To LiveStream and others it is what an <img> would be: `src`, `load` with the first picture, `error` at its end, whose
 * detail is the status of an answer that was no stream, else 0; `missed` when a successor came to nothing. */
export class MovingPicture extends EventTarget {
  /**
   * @param {(picture: Blob, headers: Map<string, string>) => Promise<void>} draw headers: of the part, names in lower case
   */
  constructor(draw) {
    super();
    this.drawPart = draw;
    this.naturalWidth = 0; // as of an <img>: more than 0 once a picture is there
    this.address = "";
    this.drawing = false;
    /** @type {{picture: Blob, headers: Map<string, string>, reading: import("./flow.js").Reading} | null} */
    this.newest = null;
    const tell = (/** @type {string} */ kind) => (/** @type {number} */ status, /** @type {string} */ address) =>
      this.dispatchEvent(new CustomEvent(kind, { detail: { status, address } }));
    this.flow = new Flow((reading) => new Parts((picture, headers) => this.take({ picture, headers, reading })), {
      onOpen: () => {},
      onOver: tell("error"),
      onMissed: tell("missed"),
    });
  }

  /** @param {string} address */
  set src(address) {
    this.removeAttribute("src");
    this.address = address;
    this.flow.open(address);
  }

  get src() {
    return this.address;
  }

  /** Go on with the pictures of another address, from its first on. @param {string} address */
  succeed(address) {
    if (!this.address) return;
    this.address = address;
    this.flow.succeed(address);
  }

  /** @param {string} name */
  hasAttribute(name) {
    return name === "src" && this.address !== "";
  }

  /** Ends the stream; the last picture stays. @param {string} name */
  removeAttribute(name) {
    if (name !== "src") return;
    this.address = "";
    this.newest = null;
    this.naturalWidth = 0;
    this.flow.close();
  }

  /** @param {{picture: Blob, headers: Map<string, string>, reading: import("./flow.js").Reading}} part */
  async take(part) {
    this.newest = part;
    if (this.drawing) return;
    this.drawing = true;
    while (this.newest) {
      const { picture, headers, reading } = this.newest;
      this.newest = null;
      if (!this.flow.isRead(reading)) continue;
      try {
        await this.drawPart(picture, headers);
        if (!this.flow.isRead(reading)) continue;
        this.flow.shown(reading);
        if (!this.naturalWidth) {
          this.naturalWidth = 1;
          this.dispatchEvent(new Event("load"));
        }
      } catch {
        // Half a picture of a node that was killed: the stream ends next.
      }
    }
    this.drawing = false;
  }
}

/** Cuts a stream into its parts. Every part says its length. */
class Parts {
  /** @param {(picture: Blob, headers: Map<string, string>) => void} onPart */
  constructor(onPart) {
    this.onPart = onPart;
    this.rest = new Uint8Array(0);
  }

  /** @param {Uint8Array} chunk Throws for what is no such stream. */
  add(chunk) {
    const data = new Uint8Array(this.rest.length + chunk.length);
    data.set(this.rest);
    data.set(chunk, this.rest.length);
    let from = 0;
    for (;;) {
      const head = indexOf(data, HEAD, from);
      if (head < 0) break;
      const headers = headersOf(new TextDecoder("latin1").decode(data.subarray(from, head)));
      const length = Number(headers.get("content-length"));
      if (!(length > 0 && length < LONGEST)) throw new Error("a part without its length");
      const begin = head + HEAD.length;
      if (data.length < begin + length) break;
      this.onPart(new Blob([data.subarray(begin, begin + length)], { type: "image/jpeg" }), headers);
      from = begin + length;
    }
    this.rest = data.subarray(from);
    if (this.rest.length > LONGEST) throw new Error("a part without an end");
  }
}

/** @param {Uint8Array} data @param {Uint8Array} wanted @param {number} from */
function indexOf(data, wanted, from) {
  for (let at = data.indexOf(wanted[0], from); at >= 0; at = data.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, index) => data[at + index] === byte)) return at;
  }
  return -1;
}

/** @param {string} text @returns {Map<string, string>} */
function headersOf(text) {
  const lines = text.split("\r\n").map((line) => line.split(/:\s*(.*)/s));
  return new Map(lines.filter((parts) => parts.length > 1).map(([name, value]) => [name.toLowerCase(), value]));
}
