/** How something stands: a word, and a tone that gives it a shape and a colour. */

import { setAttribute, setText } from "./dom.js";

/** @typedef {{word: string, tone: "ok" | "busy" | "warn" | "bad" | "off", reason: string}} Standing */

/** @type {Record<string, [string, Standing["tone"]]>} */
const NODE = {
  ready: ["Ready", "ok"],
  full: ["Full", "busy"],
  draining: ["Draining", "warn"],
  unreachable: ["Unreachable", "bad"],
  suspect: ["Suspect", "warn"],
  dead: ["Gone", "off"],
};

/** @type {Record<string, [string, Standing["tone"]]>} */
const SESSION = {
  requested: ["Waiting", "warn"],
  placed: ["Starting", "busy"],
  running: ["Live", "ok"],
  moving: ["Moving", "warn"],
  ended: ["Ended", "off"],
};

/** @param {any} node @returns {Standing} */
export function ofNode(node) {
  const reason = String(node.state_reason ?? "");
  if (node.state === "unreachable" && reason === "being checked") return { word: "Checking", tone: "busy", reason: "" };
  if (node.kind === "camera" && node.state === "ready") {
    const lost = node.load?.no_signal;
    return lost ? { word: "No signal", tone: "bad", reason: String(lost) } : { word: "Live", tone: "ok", reason: "" };
  }
  const [word, tone] = NODE[node.state] ?? [String(node.state ?? "Unknown"), "off"];
  return { word, tone, reason };
}

/** @param {any} session @returns {Standing} */
export function ofSession(session) {
  const [word, tone] = SESSION[session.state] ?? [String(session.state ?? "Unknown"), "off"];
  const reason = String(session.state_reason ?? "");
  const past = /^(moved:|known again)/.test(reason); // how it came here is no trouble of now
  return { word, tone: reason && !past && tone === "ok" ? "warn" : tone, reason };
}

/** @param {HTMLElement} pill holds an element `.shape` @param {HTMLElement} word @param {Standing} standing */
export function paint(pill, word, standing) {
  setAttribute(pill, "data-tone", standing.tone);
  setText(word, standing.word);
}
