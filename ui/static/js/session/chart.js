/** One chart: lines over time, their values in words, and marks where something happened. */

import { partsOf, setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { clock } from "../words.js";

/**
 * @typedef {{name: string, colour: string, dash?: number[], values: import("./samples.js").Values}} Line
 *   colour: the name of a variable of the style sheet. dash: pixels on and off, whole when missing
 * @typedef {{at: number[], from: number, to: number, marks: number[]}} Span  Unix seconds of this computer
 */

const AXIS = { across: 28, along: 34 }; // pixels that the axes' numbers take
const POINTED = "session"; // all charts point at the same second
const STEPS = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 50_000]; // of the axis's numbers
const ROOM = 1.12; // of the highest value, so that no line runs along the edge

/** The library's global, of a script of its own. @returns {any} */
const library = () => /** @type {any} */ (window).uPlot;

export class Chart {
  /**
   * @param {string} title
   * @param {{least: number, words: (value: number) => string, empty?: string}} options
   *   least: what the axis shows at least. words: a value as people read it. empty: what is said when there is no line
   */
  constructor(title, { least, words, empty = "" }) {
    const { root, parts } = stamp("chart");
    this.root = root;
    this.parts = parts;
    this.least = least;
    this.words = words;
    setText(parts.title, title);
    setText(parts.nothing, empty);
    /** @type {any} */
    this.plot = null;
    this.made = ""; // what the plot was made of
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Span} */
    this.span = { at: [], from: 0, to: 1, marks: [] };
    new ResizeObserver(() => this.fit()).observe(parts.plot);
  }

  /** @param {Line[]} lines @param {Span} span */
  draw(lines, span) {
    this.lines = lines;
    this.span = span;
    const data = [span.at, ...lines.map((line) => line.values)];
    const made = lines.map(({ name, colour }) => `${colour} ${name}`).join("\n");
    if (!this.plot || made !== this.made) this.make(data, made);
    else this.plot.setData(data);
    this.spell(this.plot.cursor.idx);
  }

  /** The colours have changed: draw anew. */
  renew() {
    this.made = "";
    if (this.plot) this.draw(this.lines, this.span);
  }

  /** @param {unknown[]} data @param {string} made */
  make(data, made) {
    this.plot?.destroy();
    this.made = made;
    const style = getComputedStyle(this.root);
    const [ink, grid] = ["--quiet", "--line"].map((name) => style.getPropertyValue(name));
    const font = `11px ${style.fontFamily}`;
    const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, gap: 4 };
    const { plot } = this.parts;
    this.plot = new (library())(
      {
        width: plot.clientWidth,
        height: plot.clientHeight,
        padding: [8, 16, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: POINTED, setSeries: false } },
        scales: {
          x: { time: true, range: () => [this.span.from, this.span.to] },
          y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number | null} */ most) => [0, Math.max(this.least, (most ?? 0) * ROOM)] },
        },
        axes: [
          { ...axis, size: AXIS.across, space: 70, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(shortClock) },
          { ...axis, size: AXIS.along, space: 26, incrs: STEPS },
        ],
        series: [
          {},
          ...this.lines.map(({ colour, dash }) => ({
            stroke: style.getPropertyValue(colour),
            width: 1.75,
            dash,
            points: { show: false },
          })),
        ],
        hooks: {
          draw: [() => this.drawMarks(style.getPropertyValue("--mark"))],
          setCursor: [(/** @type {any} */ { cursor }) => this.spell(cursor.idx)],
        },
      },
      data,
      plot,
    );
  }

  fit() {
    const { plot } = this.parts;
    const size = { width: plot.clientWidth, height: plot.clientHeight };
    if (this.plot && size.width > 0 && (size.width !== this.plot.width || size.height !== this.plot.height)) this.plot.setSize(size);
  }

  /** @param {string} colour */
  drawMarks(colour) {
    const { ctx, bbox } = this.plot;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = window.devicePixelRatio;
    ctx.setLineDash([3, 3].map((length) => length * window.devicePixelRatio));
    for (const at of this.span.marks) {
      if (at < this.span.from || at > this.span.to) continue;
      const x = Math.round(this.plot.valToPos(at, "x", true)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** The values in words: those that are pointed at, else the newest. @param {number | null | undefined} index */
  spell(index) {
    const { at } = this.span;
    const pointed = typeof index === "number" && index < at.length;
    const place = pointed ? index : at.length - 1;
    setText(this.parts.time, pointed ? clock(at[place]) : "");
    show(this.parts.time, pointed);
    show(this.parts.nothing, this.lines.length === 0);
    reconcile(
      this.parts.legend,
      this.lines,
      ({ name }) => name,
      () => stamp("legend-item"),
      (entry, { name, colour, dash, values }) => {
        const { stroke } = entry.parts;
        stroke.style.borderTopColor = `var(${colour})`;
        stroke.style.borderTopStyle = !dash ? "solid" : dash[0] > 3 ? "dashed" : "dotted";
        setText(entry.parts.name, name);
        const value = values[place];
        setText(entry.parts.value, value === null || value === undefined ? t("none") : this.words(value));
      },
    );
  }
}

const FULL = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** @param {number} at Unix seconds */
function shortClock(at) {
  return (at % 60 ? FULL : SHORT).format(at * 1000);
}
