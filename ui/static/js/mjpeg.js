/** The pictures of an MJPEG stream, one by one.
 *
 * An <img> shows such a stream too, but browsers keep hundreds of decoded frames of it in memory, and tell nothing of
 * what came with a frame. Here the newest frame is drawn, and those that came while one was being drawn are left out.
 */

const HEAD = new TextEncoder().encode("\r\n\r\n"); // ends the headers of a part
const LONGEST = 16 * 1024 * 1024; // bytes of a part: more is none of ours

/** To LiveStream and others it is what an <img> would be: `src`, `load` with the first picture, `error` at its end. */
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
    /** @type {{picture: Blob, headers: Map<string, string>} | null} */
    this.newest = null;
    /** @type {AbortController | null} */
    this.reading = null;
  }

  /** @param {string} address */
  set src(address) {
    this.removeAttribute("src");
    this.address = address;
    this.read((this.reading = new AbortController()));
  }

  get src() {
    return this.address;
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
    this.reading?.abort();
    this.reading = null;
  }

  /** @param {AbortController} reading */
  async read(reading) {
    try {
      const answer = await fetch(this.address, { signal: reading.signal, cache: "no-store", referrerPolicy: "no-referrer" });
      if (!answer.ok || !answer.body) throw new Error(`answered ${answer.status}`);
      const body = answer.body.getReader();
      const parts = new Parts((picture, headers) => this.take(picture, headers, reading));
      for (;;) {
        const { done, value } = await body.read();
        if (done) throw new Error("ended");
        parts.add(value);
      }
    } catch {
      reading.abort();
      if (this.reading === reading) this.dispatchEvent(new Event("error"));
    }
  }

  /** @param {Blob} picture @param {Map<string, string>} headers @param {AbortController} reading */
  async take(picture, headers, reading) {
    this.newest = { picture, headers };
    if (this.drawing) return;
    this.drawing = true;
    while (this.newest && this.reading === reading) {
      const part = this.newest;
      this.newest = null;
      try {
        await this.drawPart(part.picture, part.headers);
        if (this.reading === reading && !this.naturalWidth) {
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
