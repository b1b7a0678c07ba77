/** Server-sent events of a node, read so that their successor takes over without a gap, and a refusal can be told from a
 * broken line: an EventSource tells neither. */

import { Flow } from "./flow.js";

const LONGEST = 1024 * 1024; // characters of an event: more is none of ours

/** @typedef {import("./flow.js").Tell & {onData: (data: string, reading: import("./flow.js").Reading) => void}} Tell */

export class Events {
  /** @param {Tell} tell */
  constructor(tell) {
    this.flow = new Flow((reading) => {
      return new Lines((data) => {
        if (!this.flow.isRead(reading)) return;
        this.flow.shown(reading);
        if (reading === this.flow.present) tell.onData(data, reading);
      });
    }, tell);
  }

  /** @param {string} address */
  open(address) {
    this.flow.open(address);
  }

  /** @param {string} address */
  succeed(address) {
    this.flow.succeed(address);
  }

  close() {
    this.flow.close();
  }
}

/** Cuts a stream into its events; the data of each is given. */
class Lines {
  /** @param {(data: string) => void} onData */
  constructor(onData) {
    this.onData = onData;
    this.decoder = new TextDecoder();
    this.rest = "";
  }

  /** @param {Uint8Array} chunk */
  add(chunk) {
    const events = (this.rest + this.decoder.decode(chunk, { stream: true })).split("\n\n");
    this.rest = events.pop() ?? "";
    if (this.rest.length > LONGEST) throw new Error("an event without an end");
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length) this.onData(data.map((line) => line.slice(6)).join("\n"));
    }
  }
}
