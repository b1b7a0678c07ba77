/** Small pictures that stay new: one request at a time each, only while they are seen. */

const PATIENCE = 9000; // ms: a compute node waits up to 8 s for a camera's first picture
const BREATH = 120; // ms between two requests at least, however slow the node is
const WIDTHS = [320, 480, 640, 960]; // few sizes: a node encodes a size once for all who want it
const RETRY = [1000, 2000, 5000, 15_000]; // ms after failures in a row

/** @type {Map<Element, Snapshots>} */
const watched = new Map();
const sight = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) watched.get(entry.target)?.see(entry.isIntersecting);
  },
  { rootMargin: "80px" },
);
document.addEventListener("visibilitychange", () => {
  for (const one of watched.values()) one.wake();
});

/** @typedef {{signal: string | null, inference: number | null}} Stamps  signal: why there is none */

export class Snapshots {
  /**
   * @param {HTMLImageElement} image
   * @param {{period: number, onPicture: (stamps: Stamps) => void, onTrouble: (words: string) => void}} options
   *   period: ms between two pictures
   */
  constructor(image, { period, onPicture, onTrouble }) {
    this.image = image;
    this.period = period;
    this.onPicture = onPicture;
    this.onTrouble = onTrouble;
    this.frame = /** @type {HTMLElement} */ (image.parentElement);
    this.address = "";
    this.plain = false;
    this.seen = false;
    this.timer = 0;
    this.failures = 0;
    /** @type {AbortController | null} */
    this.request = null;
    this.shown = "";
    watched.set(this.frame, this);
    sight.observe(this.frame);
  }

  /**
   * Where the pictures are; "" for nowhere.
   * @param {string} address
   * @param {{scaled?: boolean, plain?: boolean}} [how] scaled: the node takes a width. plain: it allows no reading by
   *   pages of elsewhere, so the picture is shown without its stamps
   */
  aim(address, { scaled = false, plain = false } = {}) {
    this.scaled = scaled;
    this.plain = plain;
    if (address === this.address) return;
    this.address = address;
    this.failures = 0;
    this.request?.abort();
    this.wake();
  }

  /** @param {boolean} seen */
  see(seen) {
    this.seen = seen;
    this.wake();
  }

  /** Go on if there is a reason to. */
  wake() {
    window.clearTimeout(this.timer);
    if (this.wanted() && !this.request) this.turn();
  }

  wanted() {
    return Boolean(this.address) && this.seen && !document.hidden;
  }

  leave() {
    sight.unobserve(this.frame);
    watched.delete(this.frame);
    this.address = "";
    window.clearTimeout(this.timer);
    this.request?.abort();
    if (this.shown) URL.revokeObjectURL(this.shown);
  }

  async turn() {
    const began = performance.now();
    const request = (this.request = new AbortController());
    const deadline = window.setTimeout(() => request.abort(), PATIENCE);
    const { address } = this;
    try {
      const stamps = this.plain ? await this.loadPlain(request.signal) : await this.load(request.signal);
      this.failures = 0;
      if (this.address === address) this.onPicture(stamps);
    } catch (error) {
      if (this.address === address && address) {
        this.failures += 1;
        this.onTrouble(request.signal.aborted ? "no picture came in time" : /** @type {Error} */ (error).message);
      }
    }
    window.clearTimeout(deadline);
    this.request = null;
    if (!this.wanted()) return;
    const pause = this.failures ? RETRY[Math.min(this.failures, RETRY.length) - 1] : this.period;
    this.timer = window.setTimeout(() => this.wake(), Math.max(BREATH, pause - (performance.now() - began)));
  }

  url() {
    const url = new URL(this.address);
    if (this.scaled) {
      const wanted = this.frame.clientWidth * Math.min(window.devicePixelRatio, 2);
      url.searchParams.set("width", String(WIDTHS.find((w) => w >= wanted * 0.85) ?? WIDTHS[WIDTHS.length - 1]));
      url.searchParams.set("quality", "70");
    }
    return url;
  }

  /** @param {AbortSignal} signal @returns {Promise<Stamps>} */
  async load(signal) {
    let answer;
    try {
      answer = await fetch(this.url(), { signal, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Error(`this browser cannot reach ${new URL(this.address).host}`);
    }
    if (!answer.ok) {
      const problem = await answer.json().catch(() => null);
      throw new Error(problem?.detail ?? `the node answered ${answer.status}`);
    }
    const address = URL.createObjectURL(await answer.blob());
    try {
      await this.draw(address, signal);
    } catch (error) {
      URL.revokeObjectURL(address);
      throw error;
    }
    if (this.shown) URL.revokeObjectURL(this.shown);
    this.shown = address;
    const inference = Number.parseFloat(answer.headers.get("X-Inference-Ms") ?? "");
    return { signal: answer.headers.get("X-No-Signal"), inference: Number.isFinite(inference) ? inference : null };
  }

  /** @param {AbortSignal} signal @returns {Promise<Stamps>} */
  async loadPlain(signal) {
    const url = this.url();
    url.searchParams.set("t", String(Date.now()));
    await this.draw(url.href, signal);
    return { signal: null, inference: null };
  }

  /** The old picture stays until the new one can be drawn. @param {string} address @param {AbortSignal} signal */
  async draw(address, signal) {
    const next = new Image();
    next.src = address;
    const stop = () => next.removeAttribute("src");
    signal.addEventListener("abort", stop);
    try {
      await next.decode();
    } catch {
      throw new Error(signal.aborted ? "stopped" : "the picture cannot be read");
    } finally {
      signal.removeEventListener("abort", stop);
    }
    this.image.src = address;
  }
}
