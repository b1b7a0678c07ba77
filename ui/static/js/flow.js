/** An answer without an end, read as it comes, whose successor takes over without a gap. */

/** @typedef {{address: string, over: AbortController}} Reading */
/**
 * @typedef {{onOpen: () => void, onOver: (status: number, address: string) => void,
 *   onMissed: (status: number, address: string) => void}} Tell
 *   onOpen: the first answer has begun. onOver: nothing is read any more; status: of the answer, when it was none of ours,
 *   else 0. onMissed: the same of a successor that never showed anything; the one before it goes on.
 */

export class Flow {
  /**
   * @param {(reading: Reading) => {add: (chunk: Uint8Array) => void}} cut  makes what takes a reading's bytes apart; it
   *   throws for what it cannot read
   * @param {Tell} tell
   */
  constructor(cut, tell) {
    this.cut = cut;
    this.tell = tell;
    /** @type {Reading | null} */
    this.present = null;
    /** @type {Reading | null} */
    this.next = null;
  }

  /** Read `address` in place of whatever is read now. @param {string} address */
  open(address) {
    this.close();
    this.read((this.present = { address, over: new AbortController() }), this.tell.onOpen);
  }

  /** Read `address` too, until something of it is shown; then it alone goes on. @param {string} address */
  succeed(address) {
    if (!this.present) {
      this.open(address);
      return;
    }
    this.next?.over.abort();
    this.read((this.next = { address, over: new AbortController() }));
  }

  /** Something of this one is shown now. @param {Reading} reading */
  shown(reading) {
    if (reading !== this.next) return;
    this.present?.over.abort();
    this.present = reading;
    this.next = null;
  }

  /** Whether what comes of it is still wanted. @param {Reading} reading */
  isRead(reading) {
    return reading === this.present || reading === this.next;
  }

  close() {
    for (const reading of [this.present, this.next]) reading?.over.abort();
    this.present = this.next = null;
  }

  /** @param {Reading} reading @param {() => void} [onOpen] */
  async read(reading, onOpen = () => {}) {
    let status = 0;
    try {
      const answer = await fetch(reading.address, { signal: reading.over.signal, cache: "no-store", referrerPolicy: "no-referrer" });
      if (!answer.ok || !answer.body) {
        status = answer.status;
        throw new Error("refused");
      }
      if (!this.isRead(reading)) return;
      onOpen();
      const body = answer.body.getReader();
      const cutter = this.cut(reading);
      for (;;) {
        const { done, value } = await body.read();
        if (done) throw new Error("ended");
        cutter.add(value);
      }
    } catch {
      reading.over.abort();
      this.ended(reading, status);
    }
  }

  /** @param {Reading} reading @param {number} status */
  ended(reading, status) {
    if (reading === this.next) {
      this.next = null;
      this.tell.onMissed(status, reading.address);
    } else if (reading === this.present) {
      this.present = this.next; // which may just be opening
      this.next = null;
      if (!this.present) this.tell.onOver(status, reading.address);
    }
  }
}
