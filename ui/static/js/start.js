/** The form that starts an algorithm on a camera: it stays true while it is open. */

import { startSession } from "./calls.js";
import { partsOf, say, setText, show, stamp } from "./dom.js";
import { reconcile } from "./keyed.js";
import { ofNode } from "./state.js";
import { isNumber, joined, many, rate, sentence } from "./words.js";

const LAST = "fogline.algorithm"; // what this browser started last is offered first
const ANY = "";

/** @typedef {{key: string, name: string, note: string, disabled: boolean}} Option */

/** @param {any} node one of an algorithm's nodes */
const idOf = (node) => String(node.node_id ?? node.id);

export class StartDialog {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.parts = partsOf(dialog);
    /** @type {import("./overview.js").Overview | null} */
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
    parts.camera.addEventListener("change", () => this.draw());
    parts.gate.addEventListener("change", () => this.draw());
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
  }

  /** @param {{camera?: any, algorithm?: any}} chosen */
  open({ camera, algorithm }) {
    this.fillCameras();
    if (camera) this.parts.camera.value = String(camera.node_id);
    this.algorithm = String(algorithm?.id ?? this.usual());
    this.node = ANY;
    say(this.parts.problem, null);
    this.draw();
    this.dialog.showModal();
    if (!this.parts.go.disabled) this.parts.go.focus(); // Enter on the camera, Enter here: it runs
  }

  /** @param {import("./overview.js").Overview} overview */
  render(overview) {
    this.overview = overview;
    if (!this.dialog.open) return;
    this.fillCameras();
    this.draw();
  }

  /** The algorithm to begin with: the one started last, else the first with a model that has a free slot. */
  usual() {
    const all = this.overview?.algorithms ?? [];
    let last = null;
    try {
      last = localStorage.getItem(LAST);
    } catch {
      // A browser that keeps nothing has no last one.
    }
    const free = all.filter((a) => a.free_slots > 0);
    // One with a model of its own recognises things; the others look for movement, codes, faces.
    const able = free.find((a) => (a.nodes ?? []).some((/** @type {any} */ n) => n.model));
    return (free.find((a) => a.id === last) ?? able ?? free[0] ?? all[0])?.id ?? "";
  }

  fillCameras() {
    const { camera: select } = this.parts;
    const cameras = (this.overview?.nodes ?? []).filter((n) => n.kind === "camera" && n.state !== "dead");
    const wanted = cameras.map((c) => [String(c.node_id), String(c.name ?? c.host_name ?? c.node_id)]);
    const present = [...select.options].map((o) => [o.value, o.text]);
    if (JSON.stringify(wanted) === JSON.stringify(present)) return;
    const { value } = select;
    select.replaceChildren(...wanted.map(([id, name]) => new Option(name, id)));
    if (wanted.some(([id]) => id === value)) select.value = value;
  }

  /** The session that the same wish would join. */
  joinable() {
    const { camera, gate } = this.parts;
    return this.overview?.sessions.find(
      (s) =>
        s.camera === camera.value && s.algorithm === this.algorithm && Boolean(s.gate) === gate.checked && s.state !== "ended",
    );
  }

  draw() {
    const { parts } = this;
    const algorithms = this.overview?.algorithms ?? [];
    const chosen = algorithms.find((a) => a.id === this.algorithm);
    this.drawOptions(parts.algorithms, "algorithm", this.algorithm, algorithms.map(describeAlgorithm), (key) => {
      this.algorithm = key;
      this.node = ANY;
      this.draw();
    });
    show(parts["no-algorithm"], algorithms.length === 0);
    const nodes = [...(chosen?.nodes ?? [])].filter((n) => !n.original);
    nodes.sort((a, b) => (b.free_slots ?? 0) - (a.free_slots ?? 0) || (b.fps ?? 0) - (a.fps ?? 0));
    const joined = this.joinable();
    const any = describeAny(chosen, joined);
    this.drawOptions(parts.nodes, "node", this.node, [any, ...nodes.map((n) => this.describeNode(n))], (key) => {
      this.node = key;
      this.draw();
    });
    show(parts.where, Boolean(chosen));
    const named = nodes.find((n) => idOf(n) === this.node);
    const possible = this.node === ANY ? !any.disabled : Boolean(named?.free_slots);
    setText(parts.go, this.busy ? "Starting …" : joined && this.node === ANY ? "Open" : "Start");
    parts.go.disabled = this.busy || !parts.camera.value || !chosen || !possible;
    parts.go.setAttribute("aria-busy", String(this.busy));
  }

  /** @param {any} node one of an algorithm's nodes @returns {Option} */
  describeNode(node) {
    const whole = this.overview?.nodes.find((n) => n.node_id === idOf(node));
    const standing = ofNode(whole ?? node);
    const free = node.free_slots ?? 0;
    const why = joined([standing.word === "Ready" ? "full" : standing.word.toLowerCase(), standing.reason]);
    return {
      key: idOf(node),
      name: String(node.name ?? idOf(node)),
      note: free ? joined([isNumber(node.fps) && `${rate(node.fps)} fps`, `${many(free, "slot")} free`]) : sentence(why),
      disabled: !free,
    };
  }

  /**
   * @param {Element} container
   * @param {string} group
   * @param {string} chosen
   * @param {Option[]} options
   * @param {(key: string) => void} onChoice
   */
  drawOptions(container, group, chosen, options, onChoice) {
    reconcile(
      container,
      options,
      (option) => option.key,
      (option) => {
        const { root, parts } = stamp("start-option");
        const input = /** @type {HTMLInputElement} */ (root.querySelector("input"));
        input.name = group;
        input.value = option.key;
        input.addEventListener("change", () => onChoice(option.key));
        return { root, parts, input };
      },
      (entry, option) => {
        setText(entry.parts.name, option.name);
        setText(entry.parts.note, option.note);
        entry.input.disabled = option.disabled && option.key !== chosen;
        entry.input.checked = option.key === chosen;
        entry.root.classList.toggle("disabled", option.disabled);
      },
    );
  }

  async start() {
    const { parts } = this;
    this.busy = true;
    say(parts.problem, null);
    this.draw();
    try {
      const session = await startSession({
        camera: parts.camera.value,
        algorithm: this.algorithm,
        ...(this.node === ANY ? {} : { node: this.node }),
        ...(parts.pinned.checked ? { pinned: true } : {}),
        ...(parts.gate.checked ? { gate: "motion" } : {}),
      });
      try {
        localStorage.setItem(LAST, this.algorithm);
      } catch {
        // Then the next start begins with the first one.
      }
      window.location.assign(`/s/${encodeURIComponent(session.session_id)}`);
    } catch (error) {
      say(parts.problem, sentence(/** @type {Error} */ (error).message));
    }
    this.busy = false;
    this.draw();
  }
}

/** @param {any} algorithm @returns {Option} */
function describeAlgorithm(algorithm) {
  const models = [...new Set((algorithm.nodes ?? []).map((/** @type {any} */ n) => n.model).filter(Boolean))];
  const free = algorithm.free_slots ?? 0;
  return {
    key: String(algorithm.id),
    name: String(algorithm.name ?? algorithm.id),
    note: joined([models.join(", "), free ? `${free} free` : "none free"]),
    disabled: false,
  };
}

/** @param {any} algorithm @param {any} session one that the same wish would join @returns {Option} */
function describeAny(algorithm, session) {
  const free = algorithm?.free_slots ?? 0;
  let note = free ? `${many(free, "slot")} free; the one with most room takes it` : "No slot is free: stop a session or add a node";
  if (session) note = `It runs already${session.node_name ? ` on ${session.node_name}` : ""}: you watch along`;
  return { key: ANY, name: "Any free node", note, disabled: !free && !session };
}
