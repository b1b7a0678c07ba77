/** What a tile says: its state, its facts, what it offers, and words where there is no picture. */

import { say, setAttribute, setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { paint } from "../state.js";
import { sentence } from "../words.js";
import { factsOf } from "./facts.js";
import { isReachable, titleOf } from "./places.js";
import { at } from "../root.js";

/** @typedef {import("./places.js").Place} Place */
/**
 * @typedef {{usable: boolean, picturesCome: boolean, own: boolean, noSignal: string, trouble: string, verdict: string,
 *   seen: import("./facts.js").Seen}} Sight  as in Tile: what this browser sees of a place
 */

/** What the registry says, corrected by what this browser sees. @param {Place} place @param {Sight} sight @returns {import("../state.js").Standing} */
function standingOf({ session, standing }, { picturesCome, own, noSignal, trouble, verdict }) {
  if (noSignal && picturesCome) return { word: t("No signal"), tone: "bad", reason: noSignal };
  if (!session) return standing;
  if (verdict) return { word: t("Moving"), tone: "warn", reason: "" };
  if (!picturesCome && trouble && standing.tone === "ok") return { word: t("No picture"), tone: "bad", reason: "" };
  if (picturesCome && own && standing.tone === "busy") return { word: t("Live"), tone: "ok", reason: "" };
  return standing;
}

/** The words over a picture that is none, a line each. @param {Place} place @param {Sight} sight */
function coverOf({ session, camera, standing }, { trouble, verdict }) {
  const reason = standing.reason && sentence(standing.reason);
  if (verdict) return verdict;
  if (session && !session.node && reason) return reason;
  if (!session && camera?.state === "dead") return [t("This camera is gone"), reason].filter(Boolean).join("\n");
  if (!session && !camera) return reason || standing.word;
  return [trouble ? sentence(trouble) : t("Waiting for the first picture …"), reason].filter(Boolean).join("\n");
}

/** @param {import("../dom.js").Parts} parts of the tile @param {Place} place @param {Sight} sight */
export function drawFace(parts, place, sight) {
  const { session, camera, name, algorithm } = place;
  const standing = standingOf(place, sight);
  const title = titleOf(place);
  const covered = !sight.picturesCome || (!session && camera?.state === "dead");
  setText(parts.name, name);
  setText(parts.algorithm, algorithm);
  setAttribute(parts.title, "title", title);
  setAttribute(parts.root, "aria-label", `${title}, ${standing.word}`);
  setAttribute(
    parts.still,
    "aria-label",
    session ? t("What {algorithm} finds on {camera}", { algorithm, camera: name }) : t("Live picture of {camera}", { camera: name }),
  );
  paint(parts.state, parts.word, standing);
  show(parts.unauthenticated, Boolean(camera?.unauthenticated));
  drawFacts(parts.facts, factsOf(place, sight.seen));
  say(parts.reason, standing.tone !== "ok" && !covered ? standing.reason && sentence(standing.reason) : null);
  show(parts.cover, covered);
  if (covered) setText(parts.cover, coverOf(place, sight));
  parts.frame.classList.toggle("old", covered);
  offer(parts, place, title, sight.usable);
}

/** The buttons that could do something. @param {import("../dom.js").Parts} parts @param {Place} place @param {string} title @param {boolean} usable */
function offer(parts, place, title, usable) {
  const { session, name } = place;
  show(parts.start, !session && isReachable(place) && usable);
  show(parts.stop, Boolean(session) && usable);
  show(parts.open, Boolean(session));
  const address = session ? at(`/s/${encodeURIComponent(session.session_id)}`) : "";
  for (const link of [parts.open, parts.title]) {
    if (address) setAttribute(link, "href", address);
    else link.removeAttribute("href");
  }
  setAttribute(parts.start, "aria-label", t("Start an algorithm on {camera}", { camera: name }));
  setAttribute(parts.stop, "aria-label", t("Stop {title}", { title }));
  setAttribute(parts.open, "aria-label", t("Open {title}", { title }));
  setAttribute(parts.screen, "aria-label", t("Full screen: {title}", { title }));
}

/** @param {HTMLElement} line @param {string[]} facts */
function drawFacts(line, facts) {
  while (line.childElementCount > facts.length) line.lastElementChild?.remove();
  while (line.childElementCount < facts.length) line.append(document.createElement("span"));
  for (const [index, fact] of facts.entries()) setText(line.children[index], fact);
}
