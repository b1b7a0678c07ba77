/** The machines that joined, with a key of their own or, as the original's do, without. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { note } from "../notes.js";
import { ofNode, paint } from "../state.js";
import { ago, whole } from "../words.js";
import { getEnrolments, revokeNode } from "./calls.js";
import { Deed } from "./deed.js";
import { Section } from "./section.js";

/** @typedef {import("./calls.js").Enrolment} Enrolment */
/** @typedef {{id: string, name: string, kind: string, enrolment: Enrolment | null, node: any}} Computer  node: as listed now */

/** @type {Record<string, string>} */
const KINDS = { compute: t("Compute node"), camera: t("Camera"), ui: t("Dashboard") };
const byName = new Intl.Collator(undefined, { numeric: true }).compare;

export class Computers {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.parts = partsOf(root);
    /** @type {Map<string, any>} */
    this.nodes = new Map();
    /** @type {Section<Enrolment>} */
    this.section = new Section(root, { read: getEnrolments, draw: (enrolments) => this.draw(enrolments) });
  }

  /** @param {import("../overview.js").Overview} overview */
  hear(overview) {
    this.nodes = new Map(overview.nodes.map((node) => [String(node.node_id), node]));
    this.section.draw();
  }

  /** Trusted ones by name, then those without a key, then the revoked. @param {Enrolment[]} enrolments */
  draw(enrolments) {
    const known = new Set(enrolments.map((one) => one.node_id));
    const original = [...this.nodes.values()].filter((node) => node.unauthenticated && !known.has(String(node.node_id)));
    /** @type {Computer[]} */
    const all = [
      ...enrolments.map((enrolment) => ({ id: enrolment.node_id, name: enrolment.name, kind: enrolment.kind, enrolment, node: this.nodes.get(enrolment.node_id) })),
      ...original.map((node) => ({ id: String(node.node_id), name: nameOf(node), kind: String(node.kind), enrolment: null, node })),
    ];
    show(this.parts.original, original.length > 0);
    reconcile(
      this.parts.list,
      all.toSorted((a, b) => rank(a) - rank(b) || byName(a.name, b.name) || (a.id < b.id ? -1 : 1)),
      (one) => `${one.enrolment ? "" : "original "}${one.id}`,
      (one) => this.row(one),
      ({ parts }, one) => draw(parts, one),
    );
    return all.length;
  }

  /** @param {Computer} one */
  row({ id, name }) {
    const { root, parts } = stamp("computer-row");
    const deed = new Deed(parts.revoke, {
      question: () => t("Revoke {name}? It leaves the mesh at once, for good: to come back it needs a new identity and a new join token.", { name }),
      act: async () => {
        await revokeNode(id);
        note(t("{name} is revoked.", { name }));
        this.section.read();
      },
    });
    setAttribute(deed.parts.ask, "aria-label", t("Revoke {name}", { name }));
    return { root, parts };
  }
}

/** @param {any} node */
const nameOf = (node) => String(node.FriendlyName || node.name || node.host_name || node.node_id);

/** @param {Computer} one */
const rank = ({ enrolment }) => (!enrolment ? 1 : enrolment.revoked_at ? 2 : 0);

/** @param {import("../dom.js").Parts} parts @param {Computer} one */
function draw(parts, { id, name, kind, enrolment, node }) {
  setText(parts.name, name);
  setText(parts.kind, KINDS[kind] ?? kind);
  setText(parts.id, id);
  setText(parts.joined, enrolment ? t("{time} with the token “{token}”", { time: ago(enrolment.enrolled_at), token: enrolment.token_name }) : t("without a token"));
  setAttribute(parts.joined, "title", enrolment ? whole(enrolment.enrolled_at) : "");
  const { standing, more } = stateOf({ id, name, kind, enrolment, node });
  paint(parts.state, parts.word, standing);
  say(parts["state-more"], more);
  show(parts.revoke, Boolean(enrolment && !enrolment.revoked_at));
}

/** @param {Computer} one @returns {{standing: import("../state.js").Standing, more: string | null}} */
function stateOf({ kind, enrolment, node }) {
  if (!enrolment) return { standing: { word: t("Unauthenticated"), tone: "warn", reason: "" }, more: ofNode(node).word };
  if (enrolment.revoked_at) {
    const by = { time: ago(enrolment.revoked_at), name: enrolment.revoked_by ?? "" };
    return { standing: { word: t("Revoked"), tone: "off", reason: "" }, more: enrolment.revoked_by ? t("{time} by {name}", by) : ago(enrolment.revoked_at) };
  }
  if (node) return { standing: ofNode(node), more: null };
  if (kind === "ui") return { standing: { word: t("Trusted"), tone: "ok", reason: "" }, more: null };
  return { standing: { word: t("Not here now"), tone: "off", reason: "" }, more: t("its key was renewed {time}", { time: ago(enrolment.renewed_at) }) };
}
