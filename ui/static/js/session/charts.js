/** The charts of a session: rates, times and what was found, drawn once a second while they are seen. */

import { Chart } from "./chart.js";
import { show } from "../dom.js";
import { t } from "../i18n.js";
import { keep, recall } from "../kept.js";
import { milliseconds, rate } from "../words.js";

const PERIOD = 1000; // ms between two samples
const LABELS = 5; // that have a line of their own; the others share one
const MINUTES = "minutes"; // how many this browser shows
const OTHERS = "--line-others";
/** Lines stay apart by their pattern too. @type {(number[] | undefined)[]} */
const DASHES = [undefined, [8, 3], [2, 3], undefined, [8, 3]];

export class Charts {
  /**
   * @param {import("../dom.js").Parts} parts
   * @param {import("./samples.js").Samples} samples
   * @param {() => number[]} marks when the session moved, in Unix seconds of this computer
   */
  constructor(parts, samples, marks) {
    this.samples = samples;
    this.marks = marks;
    this.seen = false;
    /** @type {(string | null)[]} labels by the line that they have, kept while they are among the most frequent */
    this.labels = Array(LABELS).fill(null);
    const ms = { least: 10, words: (/** @type {number} */ value) => `${milliseconds(value)} ms` };
    this.rates = new Chart(t("Frames a second"), { least: 5, words: rate });
    this.inference = new Chart(t("Inference"), ms);
    this.latency = new Chart(t("Latency"), ms);
    this.found = new Chart(t("Found in the picture"), { least: 2, words: count, empty: t("Nothing was found in this time.") });
    if (!("uPlot" in window)) {
      show(parts.charts, false); // its script did not come; everything else works
      return;
    }
    this.all = [this.rates, this.inference, this.latency, this.found];
    parts.plots.append(...this.all.map((chart) => chart.root));
    new IntersectionObserver((entries) => this.see(entries[entries.length - 1].isIntersecting)).observe(parts.plots);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.all?.forEach((chart) => chart.renew()));
    this.minutes = chosen(parts.minutes);
    parts.minutes.addEventListener("change", () => {
      this.minutes = Number(parts.minutes.querySelector(":checked").value);
      keep(MINUTES, String(this.minutes));
      this.draw();
    });
  }

  /** @param {boolean} seen */
  see(seen) {
    this.seen = seen;
    this.draw();
  }

  draw() {
    if (!this.seen || !this.all || document.hidden) return;
    const { samples } = this;
    const to = Date.now() / 1000;
    const from = to - this.minutes * 60;
    const first = samples.since(from - 1);
    const span = { at: samples.at.slice(first), from, to, marks: this.marks() };
    const { camera, searched, inference, latency } = samples.values;
    this.rates.draw(
      [
        { name: t("Camera"), colour: "--line-2", dash: DASHES[1], values: camera.slice(first) },
        { name: t("Searched"), colour: "--line-1", values: searched.slice(first) },
      ],
      span,
    );
    this.inference.draw([{ name: t("Inference"), colour: "--line-1", values: inference.slice(first) }], span);
    this.latency.draw([{ name: t("From capture to here"), colour: "--line-1", values: latency.slice(first) }], span);
    this.found.draw(this.byLabel(samples.counts.slice(first)), span);
  }

  /** @param {(import("./samples.js").Counts | null)[]} counts @returns {import("./chart.js").Line[]} */
  byLabel(counts) {
    /** @type {Map<string, number>} */
    const totals = new Map();
    for (const second of counts) for (const [label, mean] of second ?? []) totals.set(label, (totals.get(label) ?? 0) + mean);
    const most = [...totals.keys()].sort((a, b) => (totals.get(b) ?? 0) - (totals.get(a) ?? 0));
    const own = new Set(most.slice(0, LABELS));
    this.labels = this.labels.map((label) => (label !== null && own.has(label) ? label : null));
    for (const label of own) if (!this.labels.includes(label)) this.labels[this.labels.indexOf(null)] = label;
    const lines = this.labels.flatMap((label, place) =>
      label === null
        ? []
        : [
            {
              name: label,
              colour: `--line-${place + 1}`,
              dash: DASHES[place],
              values: counts.map((second) => second && (second.get(label) ?? 0)),
            },
          ],
    );
    const rest = most.slice(LABELS);
    if (!rest.length) return lines;
    const together = counts.map((second) => second && rest.reduce((sum, label) => sum + (second.get(label) ?? 0), 0));
    return [...lines, { name: t("Others"), colour: OTHERS, dash: DASHES[2], values: together }];
  }
}

/** Call `onSecond` once a second, near its beginning. @param {(at: number) => void} onSecond with Unix seconds */
export function everySecond(onSecond) {
  window.setTimeout(() => {
    if (!document.hidden) onSecond(Math.round(Date.now() / PERIOD));
    everySecond(onSecond);
  }, PERIOD - (Date.now() % PERIOD) + 5);
}

/** What was chosen last in this browser, else what the page says. @param {HTMLElement} group */
function chosen(group) {
  /** @type {HTMLInputElement | null} */
  const kept = group.querySelector(`[value="${Number(recall(MINUTES))}"]`);
  if (kept) kept.checked = true;
  return Number(/** @type {HTMLInputElement} */ (group.querySelector(":checked")).value);
}

/** How many, as a mean over a second. @param {number} value */
function count(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}
