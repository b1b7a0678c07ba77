/** How a machine fares: processor, memory, accelerator, temperature, clock, last beat. */

import { setAttribute, setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { duration, isNumber } from "../words.js";

const HOT = 85; // °C from which processors slow themselves down
const COOL_AGAIN = 82; // °C below which a hot one is no longer one: cards do not jump to and fro
const NEARLY_FULL = 95; // percent of memory above which a machine soon kills something
const IN_STEP = 0.25; // seconds that nobody notices
const OFF = 1; // seconds from which stamps and latencies of this node mislead
const JUST_NOW = 2.5; // seconds: beats come once a second

/** A number that needs a look. @typedef {{text: string, warn?: boolean}} Told */

/**
 * Fill the bars; those that the node does not tell are hidden.
 * @param {import("../dom.js").Parts} parts of the template `vitals`
 * @param {any} load
 */
export function drawLoad(parts, load) {
  percent(parts, "cpu", load?.cpu_percent);
  percent(parts, "ram", load?.ram_percent, NEARLY_FULL);
  percent(parts, "accelerator", load?.accelerator_percent);
  const heat = load?.temperature;
  const known = isNumber(heat);
  show(parts["temperature-row"], known);
  if (known) {
    const degrees = Math.round(heat);
    const hot = heat >= HOT;
    mark(parts.temperature, { text: hot ? t("{n} °C, hot: look after its cooling", { n: degrees }) : t("{n} °C", { n: degrees }), warn: hot });
  }
}

/** @param {import("../dom.js").Parts} parts @param {string} name @param {unknown} value @param {number} [high] */
function percent(parts, name, value, high = Infinity) {
  const known = isNumber(value);
  show(parts[`${name}-row`], known);
  if (!known) return;
  const rounded = Math.min(100, Math.max(0, Math.round(value)));
  const width = `${rounded}%`;
  const bar = parts[`${name}-bar`];
  if (bar.style.inlineSize !== width) bar.style.inlineSize = width;
  const warn = value >= high;
  mark(parts[name], { text: warn ? t("{n} %, nearly full", { n: rounded }) : t("{n} %", { n: rounded }), warn });
  setAttribute(bar, "data-tone", warn ? "warn" : "busy");
}

/** A fact, with the triangle when it needs a look. @param {HTMLElement} place @param {Told} told */
export function mark(place, { text, warn = false }) {
  setText(place, text);
  place.classList.toggle("warned", warn);
}

/** @param {any} node @param {number} now Unix seconds of the server @returns {string} */
export function lastBeat(node, now) {
  if (!isNumber(node.last_seen)) return t("not told");
  const ago = now - node.last_seen;
  return ago < JUST_NOW ? t("just now") : t("{time} ago", { time: duration(ago) });
}

/** How far its clock is from the registry's. @param {any} node @returns {Told | null} null where it does not say */
export function clockOf(node) {
  const skew = node.load?.clock_skew;
  if (!isNumber(skew)) return null;
  const by = Math.abs(skew);
  if (by < IN_STEP) return { text: t("in step") };
  const time = by < 90 ? t("{n} s", { n: by.toFixed(by < 10 ? 1 : 0) }) : duration(by);
  const text = skew > 0 ? t("{time} ahead", { time }) : t("{time} behind", { time });
  return by <= OFF ? { text } : { text: t("{off}: set up NTP there", { off: text }), warn: true };
}

/** Whether a node that works is hot or out of step. @param {any} node @param {boolean} did whether it was before */
export function needsALook(node, did) {
  return (node.load?.temperature ?? 0) >= (did ? COOL_AGAIN : HOT) || clockOf(node)?.warn === true;
}
