/** The form that starts an algorithm on a camera: it stays true while it is open. */

import { ANY, algorithmChoice, nodeChoices } from "./choices.js";
import { partsOf, say, setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { keep, recall } from "../kept.js";
import { camerasOf } from "../sources/known.js";
import { begin } from "./starting.js";
import { sentence } from "../words.js";

const LAST = "algorithm"; // what this browser started last is offered first
const OVERLAY = "overlay"; // whether this browser draws boxes itself

export class StartDialog {
  /** @param {HTMLDialogElement} dialog @param {(session: any) => void} onStarted */
  constructor(dialog, onStarted) {
    this.dialog = dialog;
    this.onStarted = onStarted;
    this.parts = partsOf(dialog);
    /** @type {import("../overview.js").Overview | null} */
    this.overview = null;
    this.algorithm = "";
    this.node = ANY;
    this.busy = false;
    const { parts } = this;
    parts.close.addEventListener("click", () => dialog.close());
    parts.cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    for (const field of [parts.camera, parts.gate, parts.width, parts.fps]) field.addEventListener("change", () => this.draw());
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
  }

  /** @param {{camera?: string, algorithm?: string, node?: string}} chosen ids */
  open({ camera, algorithm, node = ANY }) {
    const { parts } = this;
    this.fillCameras();
    if (camera) parts.camera.value = camera;
    this.algorithm = algorithm ?? this.usual();
    this.node = node;
    parts.overlay.checked = recall(OVERLAY) === "yes";
    say(parts.problem, null);
    this.draw();
    this.dialog.showModal();
    if (!parts.go.disabled) parts.go.focus(); // Enter on the tile, Enter here: it runs
  }

  /** @param {import("../overview.js").Overview} overview */
  render(overview) {
    this.overview = overview;
    if (!this.dialog.open) return;
    this.fillCameras();
    this.algorithm ||= this.usual(); // the first compute node has come while somebody waits
    this.draw();
  }

  /** The algorithm to begin with: the one started last, else the first with a model that has a free slot. */
  usual() {
    const all = this.overview?.algorithms ?? [];
    const last = recall(LAST);
    const free = all.filter((algorithm) => algorithm.free_slots > 0);
    // One with a model of its own recognises things; the others look for movement, codes, faces.
    const able = free.find((algorithm) => (algorithm.nodes ?? []).some((/** @type {any} */ node) => node.model));
    return String((free.find(({ id }) => id === last) ?? able ?? free[0] ?? all[0])?.id ?? "");
  }

  fillCameras() {
    const { camera: select } = this.parts;
    const cameras = this.overview ? camerasOf(this.overview).filter(({ node }) => node && node.state !== "dead") : [];
    const wanted = cameras.map(({ id, name, node }) => [id, node.unauthenticated ? t("{name} (unauthenticated)", { name }) : name]);
    const present = [...select.options].map((option) => [option.value, option.text]);
    if (JSON.stringify(wanted) === JSON.stringify(present)) return;
    const { value } = select;
    select.replaceChildren(...wanted.map(([id, name]) => new Option(name, id)));
    if (wanted.some(([id]) => id === value)) select.value = value;
  }

  /** What is asked for. @returns {import("./starting.js").Wish} */
  wish() {
    const { camera, pinned, gate, width, fps } = this.parts;
    return {
      camera: camera.value,
      algorithm: this.algorithm,
      ...(this.node === ANY ? {} : { node: this.node }),
      ...(width.value ? { width: Number(width.value) } : {}),
      ...(fps.value ? { fps: Number(fps.value) } : {}),
      ...(pinned.checked ? { pinned: true } : {}),
      ...(gate.checked ? { gate: "motion" } : {}),
    };
  }

  /** The session that the same wish would join. */
  joinable() {
    const { camera, algorithm, gate, width, fps } = this.wish();
    return this.overview?.sessions.find(
      (session) =>
        session.camera === camera &&
        session.algorithm === algorithm &&
        (session.gate ?? undefined) === gate &&
        (session.width ?? undefined) === width &&
        (session.max_fps ?? undefined) === fps &&
        session.state !== "ended",
    );
  }

  draw() {
    const { parts, overview } = this;
    if (!overview) return;
    const { algorithms } = overview;
    const chosen = algorithms.find(({ id }) => id === this.algorithm);
    drawChoices(parts.algorithms, "algorithm", this.algorithm, algorithms.map(algorithmChoice), (key) => {
      this.algorithm = key;
      this.node = ANY;
      this.draw();
    });
    show(parts["no-algorithm"], algorithms.length === 0);
    const joined = this.joinable();
    const nodes = nodeChoices(overview, chosen, joined);
    drawChoices(parts.nodes, "node", this.node, nodes, (key) => {
      this.node = key;
      this.draw();
    });
    show(parts.where, Boolean(chosen));
    const possible = nodes.some(({ key, disabled }) => key === this.node && !disabled);
    setText(parts.go, this.busy ? t("Starting …") : t("Start"));
    parts.go.disabled = this.busy || overview.stale || !parts.camera.value || !chosen || !possible;
    parts.go.setAttribute("aria-busy", String(this.busy));
  }

  async start() {
    const { parts } = this;
    this.busy = true;
    say(parts.problem, null);
    this.draw();
    try {
      keep(OVERLAY, parts.overlay.checked ? "yes" : "no");
      const session = await begin(this.wish());
      keep(LAST, this.algorithm);
      this.dialog.close();
      this.onStarted(session);
    } catch (error) {
      say(parts.problem, sentence(/** @type {Error} */ (error).message));
    }
    this.busy = false;
    this.draw();
  }
}

/**
 * @param {Element} container
 * @param {string} group
 * @param {string} chosen
 * @param {import("./choices.js").Choice[]} choices
 * @param {(key: string) => void} onChoice
 */
function drawChoices(container, group, chosen, choices, onChoice) {
  reconcile(
    container,
    choices,
    ({ key }) => key,
    ({ key }) => {
      const { root, parts } = stamp("start-option");
      const input = /** @type {HTMLInputElement} */ (root.querySelector("input"));
      input.name = group;
      input.value = key;
      input.addEventListener("change", () => onChoice(key));
      return { root, parts, input };
    },
    ({ root, parts, input }, { key, name, note, disabled }) => {
      setText(parts.name, name);
      setText(parts.note, note);
      input.disabled = disabled && key !== chosen;
      input.checked = key === chosen;
      root.classList.toggle("disabled", disabled);
    },
  );
}
