/** What can be chosen when an algorithm is started, and what speaks for each choice. */

import { n, t } from "../i18n.js";
import { ofNode } from "../state.js";
import { isNumber, joined, rate, sentence } from "../words.js";

export const ANY = ""; // the node that the registry chooses
const FASTEST = 1000; // frames a second: above, a number tells nothing

/** @typedef {{key: string, name: string, note: string, disabled: boolean}} Choice */

/** @param {any} algorithm @returns {Choice} */
export function algorithmChoice(algorithm) {
  const models = [...new Set((algorithm.nodes ?? []).map((/** @type {any} */ node) => node.model).filter(Boolean))];
  const free = algorithm.free_slots ?? 0;
  return {
    key: String(algorithm.id),
    name: String(algorithm.name ?? algorithm.id),
    note: joined([models.join(", "), free ? n(free, "{n} slot free", "{n} slots free") : t("none free")]),
    disabled: false,
  };
}

/**
 * The registry's choice, then the nodes with most room first.
 * @param {import("../overview.js").Overview} overview
 * @param {any} algorithm
 * @param {any} session one that the same wish would join
 * @returns {Choice[]}
 */
export function nodeChoices(overview, algorithm, session) {
  const offers = new Map((algorithm?.nodes ?? []).map((/** @type {any} */ node) => [node.id, node]));
  const nodes = overview.nodes
    .filter((node) => node.kind === "compute" && !node.original && node.state !== "dead")
    .map((node) => ({ node, offer: offers.get(node.node_id) }))
    .sort((a, b) => rank(b.offer) - rank(a.offer) || (b.offer?.fps ?? 0) - (a.offer?.fps ?? 0));
  return [anyChoice(algorithm, session), ...nodes.map(({ node, offer }) => nodeChoice(node, offer))];
}

/** @param {any} offer */
function rank(offer) {
  return offer ? (offer.free_slots ?? 0) : -1;
}

/** @param {any} algorithm @param {any} session @returns {Choice} */
function anyChoice(algorithm, session) {
  const free = algorithm?.free_slots ?? 0;
  let note = free
    ? n(free, "{n} slot free; the node with most room takes it", "{n} slots free; the node with most room takes it")
    : t("No slot is free: stop a session or add a node");
  if (session) {
    note = session.node_name
      ? t("It runs already on {node}: you watch along", { node: session.node_name })
      : t("It is waiting for a node already: you watch along");
  }
  return { key: ANY, name: t("Any free node"), note, disabled: !free && !session };
}

/** @param {any} node @param {any} offer what it says of the algorithm; undefined when it lacks it @returns {Choice} */
function nodeChoice(node, offer) {
  const standing = ofNode(node);
  const free = offer?.free_slots ?? 0;
  const load = node.load?.cpu_percent;
  let note = joined([standing.word, standing.reason]);
  if (!offer) note = t("It does not offer this algorithm");
  else if (free) {
    note = joined([
      n(free, "{n} slot free", "{n} slots free"),
      isNumber(offer.fps) && (offer.fps < FASTEST ? t("{rate} fps", { rate: rate(offer.fps) }) : t("over {rate} fps", { rate: FASTEST })),
      isNumber(load) && t("{n} % load", { n: Math.round(load) }),
    ]);
  }
  return { key: String(node.node_id), name: String(node.FriendlyName || node.name || node.node_id), note: sentence(note), disabled: !free };
}
