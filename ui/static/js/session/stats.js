/** Where a session's frames and their time go: the node's own numbers, once a second while somebody looks at them. */

import { setText, show, stamp } from "../dom.js";
import { language, n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { isRefusal } from "../tickets.js";
import { milliseconds, rate } from "../words.js";

const PERIOD = 1000; // ms
const PATIENCE = 5000; // ms

/** What each stage is, in the order in which a frame meets them. @type {[string, string, string][]} */
const STAGES = [
  ["queue", t("Waiting"), t("For its turn on a busy node")],
  ["decode", t("Decode"), t("JPEG to pixels")],
  ["inference", t("Inference"), t("The algorithm, with everything before and after the model")],
  ["draw", t("Draw"), t("Boxes and labels")],
  ["encode", t("Encode"), t("Pixels to JPEG, once for all viewers")],
  ["send", t("Send"), t("Until every viewer that keeps up has been given the frame")],
  ["age", t("Capture to result"), t("From the camera's shutter to the published result")],
];

/** Why frames were not searched or not sent. @type {Record<string, string>} */
const DROPPED = {
  busy: t("the node was busy"),
  "fps limit": t("above the rate that was asked for"),
  "viewer busy": t("a viewer was busy"),
  "bad picture": t("unreadable"),
  "algorithm failed": t("the algorithm failed"),
};

/**
 * @typedef {{count: number, mean: number, p50: number, p99: number}} Times
 * @typedef {{fps: number, camera_fps: number, viewers: number, gate?: string, frames: Record<string, number>,
 *   dropped: Record<string, number>, stages: Record<string, Times>}} Stats
 */

/** @param {import("../dom.js").Parts} parts @param {import("../tickets.js").Addresses} where of the session @param {() => boolean} wanted */
export function watchStats(parts, where, wanted) {
  let seen = false;
  let timer = 0;
  async function ask() {
    window.clearTimeout(timer);
    timer = 0;
    if (!seen || !wanted()) return;
    if (!document.hidden) {
      try {
        draw(parts, await read(where));
        parts.stats.classList.remove("old");
      } catch {
        parts.stats.classList.add("old"); // no node serves it now; the picture says why
      }
    }
    timer ||= window.setTimeout(ask, PERIOD);
  }
  new IntersectionObserver((entries) => {
    seen = entries[entries.length - 1].isIntersecting;
    if (seen && !timer) ask();
  }).observe(parts.stats);
}

/** @param {import("../tickets.js").Addresses} where @returns {Promise<Stats>} */
async function read(where) {
  const address = where.address("stats_url");
  if (!address) throw new Error("no node serves it now");
  const answer = await fetch(address, { cache: "no-store", referrerPolicy: "no-referrer", signal: AbortSignal.timeout(PATIENCE) });
  if (isRefusal(answer.status)) where.refused(address);
  if (!answer.ok) throw new Error(`the node answered ${answer.status}`);
  return answer.json();
}

/** @param {import("../dom.js").Parts} parts @param {Stats} stats */
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
      entry.parts.tail.style.inlineSize = `${(Math.max(0, p99 - p50) / longest) * 100}%`;
    },
  );
  const { frames, dropped } = stats;
  const lost = Object.entries(dropped).filter(([, count]) => count > 0);
  setText(parts["from-camera"], t("{n} a second", { n: rate(stats.camera_fps) }));
  setText(parts.searched, t("{n} a second", { n: rate(stats.fps) }));
  setText(parts["sent-to"], n(stats.viewers, "{sent} to {n} viewer", "{sent} to {n} viewers", { sent: whole(frames.sent ?? 0) }));
  setText(parts.dropped, lost.length ? lost.map(([why, count]) => `${whole(count)} (${DROPPED[why] ?? why})`).join(", ") : t("none"));
  show(parts["gate-row"], Boolean(stats.gate));
  if (stats.gate) setText(parts.gated, t("{n} still, the last result was repeated", { n: whole(frames.gated ?? 0) }));
}

/** @param {number} count */
function whole(count) {
  return count.toLocaleString(language);
}
