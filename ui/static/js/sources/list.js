/** The cameras as rows: a small live picture each, how it stands, where it runs, and what runs on it. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { camerasOf, KINDS } from "./known.js";
import { paint } from "../state.js";
import { Pictures } from "../pictures.js";
import { addressesOf } from "../tickets.js";
import { isNumber, joined, rate, sentence, whereToStart } from "../words.js";
import { at } from "../root.js";

const PERIOD = 2000; // ms between two pictures: enough to know the place by
const DEMO = "demo:"; // an address that says nothing
const PLACE_OF_REGISTRY = "http://HOST:5050"; // until it is known

/** @typedef {import("./known.js").KnownCamera} KnownCamera */
/** @typedef {{edit: (camera: KnownCamera) => void, remove: (camera: KnownCamera) => void}} Acts */

export class SourceList {
  /** @param {HTMLElement} section @param {Acts} acts */
  constructor(section, acts) {
    this.parts = partsOf(section);
    this.acts = acts;
    /** @type {import("../overview.js").Overview | null} */
    this.overview = null;
    this.parts.search.addEventListener("input", () => this.overview && this.render(this.overview));
    this.parts.search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") this.clear();
    });
    this.parts["show-all"].addEventListener("click", () => {
      this.clear();
      this.parts.search.focus();
    });
  }

  clear() {
    this.parts.search.value = "";
    if (this.overview) this.render(this.overview);
  }

  /** @param {import("../overview.js").Overview} overview */
  render(overview) {
    this.overview = overview;
    const { parts } = this;
    const all = camerasOf(overview);
    const wanted = parts.search.value.trim().toLocaleLowerCase();
    const seen = all.filter((camera) => !wanted || wordsOf(camera).includes(wanted));
    reconcile(
      parts.list,
      seen,
      (camera) => camera.id,
      () => new Row(this.acts),
      (row, camera) => row.update(camera, overview),
    );
    const count = String(all.length);
    setText(parts.count, all.length ? (seen.length < all.length ? t("{n} of {count}", { n: seen.length, count }) : count) : "");
    const registry = overview.registry.url || PLACE_OF_REGISTRY;
    for (const part of ["registry", "hosts-registry"]) setText(parts[part], registry);
    setText(parts.where, whereToStart(registry));
    show(parts.waiting, !overview.known && (overview.registry.ok || Boolean(overview.first)));
    show(parts.empty, overview.known && all.length === 0);
    show(parts["no-match"], all.length > 0 && seen.length === 0);
    setText(parts["no-match-text"], t("No camera has “{words}” in its name, place or address.", { words: parts.search.value.trim() }));
    show(parts["no-host"], overview.known && !overview.hosts.length && all.some((camera) => camera.added));
    const hosts = overview.hosts.map((host) => t("{name} runs {running} of {capacity}", host));
    say(parts.hosts, hosts.length ? t("Camera hosts: {hosts}", { hosts: joined(hosts) }) : null);
  }
}

/** What a search looks through. @param {KnownCamera} camera */
function wordsOf({ name, standing, node, added }) {
  const words = [name, standing.word, node?.host_name, KINDS[node?.source], node?.source_host, added?.source, added?.host_name];
  return words.filter(Boolean).join("\n").toLocaleLowerCase();
}

class Row {
  /** @param {Acts} acts */
  constructor(acts) {
    const { root, parts } = stamp("source-row");
    this.root = root;
    this.parts = parts;
    /** @type {KnownCamera | null} */
    this.camera = null;
    parts.edit.addEventListener("click", () => this.camera && acts.edit(this.camera));
    parts.remove.addEventListener("click", () => this.camera && acts.remove(this.camera));
    this.pictures = new Pictures(parts.image, {
      onPicture: ({ signal }) => this.pictured(!signal), // the reason stands beside it, large enough to read
      onTrouble: () => this.pictured(false),
      onSight: () => {},
    });
    this.pictures.slow(PERIOD);
  }

  /** @param {KnownCamera} camera @param {import("../overview.js").Overview} overview */
  update(camera, overview) {
    this.camera = camera;
    const { parts } = this;
    const { name, standing, node, added } = camera;
    setText(parts.name, name);
    setAttribute(parts.image, "aria-label", t("Live picture of {name}", { name }));
    setAttribute(parts.edit, "aria-label", t("Edit {name}", { name }));
    setAttribute(parts.remove, "aria-label", t("Remove {name}", { name }));
    paint(parts.state, parts.word, standing);
    show(parts.unauthenticated, Boolean(node?.unauthenticated));
    show(parts.usual, standing.tone !== "bad");
    show(parts.none, standing.tone === "bad");
    setAttribute(parts.reason, "data-tone", standing.tone);
    // What to do without any host stands once, above all.
    const told = added?.state === "waiting" && !overview.hosts.length && !added.host_wanted;
    say(parts.reason, told ? null : standing.reason && sentence(standing.reason));
    setText(parts.facts, factsOf(camera));
    setText(parts.place, placeOf(camera));
    say(parts.address, added?.source === DEMO ? null : added?.source);
    show(parts.edit, Boolean(added));
    show(parts.remove, Boolean(added));
    show(parts.own, !added);
    parts.edit.disabled = parts.remove.disabled = overview.stale;
    this.drawSessions(camera, overview);
    const url = String(added?.url ?? node?.url ?? "");
    const there = Boolean(url) && node && node.state !== "dead";
    if (!there) this.pictured(false);
    const where = there ? addressesOf("cameras", camera.id) : null;
    this.pictures.aim(where, "image_url", Boolean(node?.original));
    if (where?.placed(url)) this.pictures.anew();
  }

  /** @param {KnownCamera} camera @param {import("../overview.js").Overview} overview */
  drawSessions({ name, sessions }, overview) {
    reconcile(
      this.parts.sessions,
      sessions,
      (session) => String(session.session_id),
      () => {
        const { root, parts } = stamp("source-session");
        return { root, parts };
      },
      ({ parts }, session) => {
        const algorithm = String(overview.algorithms.find((one) => one.id === session.algorithm)?.name ?? session.algorithm);
        parts.link.href = at(`/s/${encodeURIComponent(session.session_id)}`);
        setText(parts.link, algorithm);
        setAttribute(parts.link, "aria-label", t("{algorithm} on {camera}", { algorithm, camera: name }));
        setText(parts.node, session.node_name ? t("on {name}", { name: String(session.node_name) }) : "");
      },
    );
  }

  /** @param {boolean} there whether there is a picture of now */
  pictured(there) {
    show(this.parts.image, there);
    show(this.parts.cover, !there);
  }

  leave() {
    this.pictures.leave();
  }
}

/** Size, rate, kind and audience. @param {KnownCamera} camera */
function factsOf({ node }) {
  if (!node) return "";
  const fps = node.load?.fps || node.fps;
  const viewers = node.load?.viewers ?? 0;
  return joined([
    node.width && node.height && `${node.width} × ${node.height}`,
    isNumber(fps) && fps > 0 && t("{n} fps", { n: rate(fps) }),
    node.source && (KINDS[node.source] ?? String(node.source)),
    node.original && t("original"),
    viewers > 0 && n(viewers, "{n} viewer", "{n} viewers"),
  ]);
}

/** On which computer, and how it came to be. @param {KnownCamera} camera */
function placeOf({ node, added }) {
  if (added?.host_name) return t("Added; hosted by {name}", { name: String(added.host_name) });
  if (added) return t("Added; no host runs it now");
  return node.host_name ? t("Joined by itself, from {name}", { name: String(node.host_name) }) : t("Joined by itself");
}
