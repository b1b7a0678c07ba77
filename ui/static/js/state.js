/** How something stands: a word, and a tone that gives it a shape and a colour. */

import { setAttribute, setText } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {{word: string, tone: "ok" | "busy" | "warn" | "bad" | "off", reason: string}} Standing */

/** @type {Record<string, [string, Standing["tone"]]>} */
const NODE = {
  ready: [t("Ready"), "ok"],
  full: [t("Full"), "busy"],
  draining: [t("Draining"), "warn"],
  unreachable: [t("Unreachable"), "bad"],
  suspect: [t("Suspect"), "warn"],
  dead: [t("Gone"), "off"],
};

/** @type {Record<string, [string, Standing["tone"]]>} */
const SESSION = {
  requested: [t("Waiting"), "warn"],
  placed: [t("Starting"), "busy"],
  running: [t("Live"), "ok"],
  moving: [t("Moving"), "warn"],
  ended: [t("Ended"), "off"],
};

/** @param {any} node @returns {Standing} */
export function ofNode(node) {
  const reason = String(node.state_reason ?? "");
  if (node.state === "unreachable" && reason === "being checked") return { word: t("Checking"), tone: "busy", reason: "" };
  if (node.kind === "camera" && node.state === "ready") {
    const lost = node.load?.no_signal;
    return lost ? { word: t("No signal"), tone: "bad", reason: String(lost) } : { word: t("Live"), tone: "ok", reason: "" };
  }
  const [word, tone] = NODE[node.state] ?? [String(node.state ?? t("Unknown")), "off"];
  return { word, tone, reason };
}

/** @param {any} session @returns {Standing} */
export function ofSession(session) {
  const [word, tone] = SESSION[session.state] ?? [String(session.state ?? t("Unknown")), "off"];
  const reason = String(session.state_reason ?? "");
  const past = /^(moved:|known again)/.test(reason); // how it came here is no trouble of now
  return { word, tone: reason && !past && tone === "ok" ? "warn" : tone, reason };
}

/** @param {HTMLElement} pill holds an element `.shape` @param {HTMLElement} word @param {Standing} standing */
export function paint(pill, word, standing) {
  setAttribute(pill, "data-tone", standing.tone);
  setText(word, standing.word);
}

/** An added camera that no host runs yet, or cannot. @param {any} camera as `GET /v1/cameras` lists it @returns {Standing} */
export function ofAdded(camera) {
  const reason = String(camera.state_reason ?? "");
  if (camera.state === "failing") return { word: t("No signal"), tone: "bad", reason };
  if (camera.state === "waiting") return { word: t("Waiting"), tone: "warn", reason };
  if (camera.state === "starting") return { word: t("Starting"), tone: "busy", reason };
  return { word: t("Live"), tone: "ok", reason };
}
