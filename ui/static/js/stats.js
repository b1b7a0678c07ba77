/** Where a session's frames and their time go: the node's own numbers, once a second while somebody looks. */

import { getStats } from "./calls.js";
import { reconcile } from "./keyed.js";
import { setText, show, stamp } from "./dom.js";
import { many, rate } from "./words.js";

const PERIOD = 1000; // ms

/** What each stage is, in the order in which a frame meets them. @type {[string, string, string][]} */
const STAGES = [
  ["queue", "Waiting", "For its turn on a busy node"],
  ["decode", "Decode", "JPEG to pixels"],
  ["inference", "Inference", "The algorithm, with everything before and after the model"],
  ["draw", "Draw", "Boxes and labels"],
  ["encode", "Encode", "Pixels to JPEG, once for all viewers"],
  ["send", "Send", "Until every viewer that keeps up has been given the frame"],
  ["age", "Capture to result", "From the camera's shutter to the published result"],
];

/**
 * @typedef {{count: number, mean: number, p50: number, p99: number}} Times
 * @typedef {{fps: number, camera_fps: number, viewers: number, gate?: string, frames: Record<string, number>,
 *   dropped: Record<string, number>, stages: Record<string, Times>}} Stats
 */

/** @param {import("./dom.js").Parts} parts @param {string} session @param {() => boolean} wanted */
export function watchStats(parts, session, wanted) {
  async function ask() {
    if (!document.hidden && wanted()) {
      try {
        draw(parts, /** @type {Stats} */ (await getStats(session)));
        show(parts.stats, true);
        parts.stats.classList.remove("old");
      } catch {
        parts.stats.classList.add("old"); // no node serves it now; the picture says why
      }
    }
    window.setTimeout(ask, PERIOD);
  }
  ask();
}

/** @param {import("./dom.js").Parts} parts @param {Stats} stats */
function draw(parts, stats) {
  const known = STAGES.filter(([key]) => stats.stages[key]);
  const longest = Math.max(1, ...known.map(([key]) => stats.stages[key].p99));
  reconcile(
    parts.stages,
    known,
    ([key]) => key,
    ([, name, meaning]) => {
      const row = stamp("stage-row");
      setText(row.parts.name, name);
      row.root.title = meaning;
      return row;
    },
    (entry, [key]) => {
      const { p50, p99 } = stats.stages[key];
      setText(entry.parts.typical, milliseconds(p50));
      setText(entry.parts.worst, milliseconds(p99));
      entry.parts.bar.style.inlineSize = `${(p50 / longest) * 100}%`;
      entry.parts.tail.style.inlineSize = `${((p99 - p50) / longest) * 100}%`;
    },
  );
  const { frames, dropped } = stats;
  const lost = Object.entries(dropped).filter(([, count]) => count > 0);
  setText(parts["from-camera"], `${rate(stats.camera_fps)} a second`);
  setText(parts.searched, `${rate(stats.fps)} a second`);
  setText(parts["sent-to"], `${whole(frames.sent ?? 0)} to ${many(stats.viewers, "viewer")}`);
  setText(parts.dropped, lost.length ? lost.map(([reason, count]) => `${whole(count)} ${reason}`).join(", ") : "none");
  show(parts["gate-row"], Boolean(stats.gate));
  if (stats.gate) setText(parts.gated, `${whole(frames.gated ?? 0)} still, the last result was repeated`);
}

/** @param {number} value */
function milliseconds(value) {
  return value >= 9.95 ? String(Math.round(value)) : value >= 0.095 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {number} count */
function whole(count) {
  return count.toLocaleString("en");
}
