/** One session: its live picture, its numbers, what it finds, and where it ran. */

import { Appeared } from "./session/appeared.js";
import { showBanner } from "./banner.js";
import { getSession, stopSession } from "./calls.js";
import { Charts, everySecond } from "./session/charts.js";
import { Clocks } from "./session/clocks.js";
import { partsOf, say, setAttribute, setText, show } from "./dom.js";
import { showEnded } from "./session/ended.js";
import { showFacts } from "./session/facts.js";
import { showFound } from "./session/found.js";
import { History } from "./session/history.js";
import { t } from "./i18n.js";
import { Meter } from "./meter.js";
import { lastMove, showMove, tellMove } from "./moves.js";
import { watchOverview } from "./overview.js";
import { listPrograms } from "./session/programs.js";
import { Samples } from "./session/samples.js";
import { Stage } from "./session/stage.js";
import { ofSession, paint } from "./state.js";
import { watchStats } from "./session/stats.js";
import { isNumber, milliseconds, rate, sentence } from "./words.js";
import { at } from "./root.js";

const DRAW = 250; // ms between two drawings of the numbers: they change with every frame
const LATE = 3000; // ms for which a list may be older than what this page has been told of a move

class SessionPage {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.id = String(root.dataset.session);
    this.parts = partsOf(root);
    /** @type {any} */
    this.session = null;
    /** @type {import("./overview.js").Overview | null} */
    this.overview = null;
    /** @type {import("./livestream.js").Detections | null} */
    this.newest = null;
    this.over = false;
    this.asking = false;
    this.movedAt = -LATE;
    this.lastNode = ""; // the name of the last node that served it
    this.what = ""; // what people call the algorithm
    this.refusal = ""; // why it could not be stopped
    this.meter = new Meter();
    this.samples = new Samples();
    this.clocks = new Clocks();
    this.appeared = new Appeared(this.parts);
    this.history = new History(this.parts, this.id, (steps) => showMove(this.parts.moved, lastMove(steps)));
    this.charts = new Charts(this.parts, this.samples, () => this.history.moves.map((at) => this.clocks.here(at)));
    this.stage = new Stage(this.parts, this.id, {
      onFrame: (detections) => this.frame(detections),
      onChange: () => this.flowed(),
      onMoved: (session) => this.overview && this.draw(session, this.overview),
    });
    this.parts.stop.addEventListener("click", () => this.stop());
    // A hidden page gives its connections back; the time until it is seen again is no interval between two frames.
    document.addEventListener("visibilitychange", () => document.hidden && this.forget());
  }

  start() {
    listPrograms(this.parts, this.id);
    watchOverview((overview) => this.hear(overview));
    watchStats(this.parts, this.stage.where, () => !this.over);
    window.setInterval(() => this.drawNumbers(), DRAW);
    everySecond((at) => this.second(at));
  }

  // --- what the node sends

  /** @param {import("./livestream.js").Detections} detections */
  frame(detections) {
    this.newest = detections;
    const latency = this.clocks.since(detections);
    this.meter.add(detections, latency);
    if (detections.no_signal) this.samples.lack();
    else this.samples.add(detections, latency);
  }

  /** Pictures have begun or ceased to flow. */
  flowed() {
    if (!this.stage.flowing) this.forget();
    this.paintState();
  }

  forget() {
    this.meter.reset();
    this.samples.lack();
    this.newest = null;
  }

  /** A second is over. @param {number} at Unix seconds */
  second(at) {
    if (this.over) return;
    const camera = this.overview?.nodes.find((node) => node.node_id === this.session?.camera)?.load?.fps;
    const counts = this.samples.close(at, isNumber(camera) ? camera : null);
    if (counts) this.appeared.note(at, counts);
    this.charts.draw();
    if (this.session && this.overview) showFacts(this.parts.facts, this.session, this.overview, this.newest);
  }

  drawNumbers() {
    if (document.hidden || this.over) return;
    const { fps, inference, latency } = this.meter;
    const { parts, newest } = this;
    setText(parts.fps, fps === null ? "–" : rate(fps));
    setText(parts.inference, inference === null ? "–" : milliseconds(inference));
    setText(parts.latency, latency === null ? "–" : String(Math.round(latency)));
    if (newest) setText(parts.model, newest.model ?? "");
    showFound(parts, newest && !newest.no_signal ? newest.objects : null);
  }

  // --- what the registry says

  /** @param {import("./overview.js").Overview} overview */
  hear(overview) {
    showBanner(overview);
    if (this.over) return;
    this.overview = overview;
    const found = overview.sessions.find((s) => s.session_id === this.id);
    if (found && found.state !== "ended") this.draw(found, overview);
    else if (overview.known && !overview.stale) this.findOut(overview);
    else this.stage.start(); // what runs goes on without the registry
  }

  /** @param {any} found the session @param {import("./overview.js").Overview} overview */
  draw(found, overview) {
    const { parts, session: before } = this;
    if (before && found.token < before.token && performance.now() - this.movedAt < LATE) return;
    this.session = found;
    if (before && found.token !== before.token) {
      this.movedAt = performance.now();
      if (this.lastNode && found.node_name && found.node_name !== this.lastNode) {
        tellMove(parts.moved, { from: this.lastNode, to: found.node_name, at: found.changed_at ?? overview.now });
      }
    }
    this.lastNode = found.node_name ?? this.lastNode;
    this.clocks.hear(overview, found.camera);
    if (!overview.stale) this.history.follow(found);
    this.name(found, overview);
    this.paintState();
    parts.stop.disabled = overview.stale;
    const camera = overview.nodes.find((node) => node.node_id === found.camera);
    this.stage.update(found, camera);
    this.stage.start();
  }

  /** @param {any} found @param {import("./overview.js").Overview} overview */
  name(found, overview) {
    const { parts } = this;
    // When the last node that offered it has gone, the name that it gave stays.
    this.what = String((overview.algorithms.find((a) => a.id === found.algorithm)?.name ?? this.what) || found.algorithm);
    const names = { what: this.what, camera: String(found.camera_name ?? found.camera) };
    const title = t("{what} on {camera}", names);
    setText(parts.title, title);
    document.title = `${title} · Fogline`;
    setAttribute(parts.live, "aria-label", t("What {what} finds on {camera}, live", names));
    setText(parts.node, found.node_name ?? t("none yet"));
    if (found.node) setAttribute(parts.node, "href", at(`/nodes#${encodeURIComponent(found.node)}`));
    else parts.node.removeAttribute("href");
    show(parts.served, true);
  }

  /** What the registry says of the session, corrected by what this browser sees of it. */
  paintState() {
    const { parts, session, newest, stage } = this;
    /** @type {import("./state.js").Standing} */
    let standing = session ? ofSession(session) : { word: t("Connecting"), tone: "busy", reason: "" };
    if (newest?.no_signal) standing = { word: t("No signal"), tone: "bad", reason: newest.no_signal };
    else if (standing.tone === "busy" && stage.flowing) standing = { word: t("Live"), tone: "ok", reason: "" };
    else if (standing.tone === "ok" && !stage.flowing) standing = { word: t("Connecting"), tone: "busy", reason: "" };
    paint(parts.state, parts.word, standing);
    show(parts.state, true);
    // While it waits for a node, the reason stands where the picture would be.
    const trouble = session?.node && (standing.tone === "warn" || standing.tone === "bad") ? standing.reason : "";
    say(parts.problem, this.refusal || (trouble && sentence(trouble)));
  }

  /** The list has it not, or no longer: the registry says why. @param {import("./overview.js").Overview} overview */
  async findOut(overview) {
    if (this.asking) return;
    this.asking = true;
    try {
      const found = await getSession(this.id);
      if (found.state === "ended") this.end(found, String(found.state_reason ?? ""));
      else this.draw(found, overview);
    } catch (error) {
      const { status } = /** @type {import("./calls.js").Refused} */ (error);
      if (status === 404) this.end(this.session, t("It ended a while ago, or the address is wrong"));
    }
    this.asking = false;
  }

  /** @param {any} last @param {string} reason */
  end(last, reason) {
    this.over = true;
    this.stage.stop();
    if (document.fullscreenElement) document.exitFullscreen();
    show(this.root, false);
    showEnded(last, this.what, reason);
  }

  async stop() {
    this.parts.stop.disabled = true;
    this.refusal = "";
    try {
      await stopSession(this.id);
      this.over = true;
      this.stage.stop();
      window.location.assign(at("/"));
    } catch (error) {
      this.refusal = sentence(/** @type {Error} */ (error).message);
      this.parts.stop.disabled = false;
    }
    this.paintState();
  }
}

new SessionPage(/** @type {HTMLElement} */ (document.getElementById("session"))).start();
