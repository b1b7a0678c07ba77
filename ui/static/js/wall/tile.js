/** One tile of the wall: a camera, or a session on it. */

import { stamp } from "../dom.js";
import { drawFace } from "./face.js";
import { countsOf, objectsOf } from "./facts.js";
import { t } from "../i18n.js";
import { recall } from "../kept.js";
import { Meter } from "../meter.js";
import { COVER } from "../mjpeg.js";
import { CameraMotion, SessionMotion } from "./motion.js";
import { MovedLine } from "./moved.js";
import { Pictures } from "../pictures.js";
import { isReachable } from "./places.js";
import { Rescue } from "./rescue.js";
import { addressesOf } from "../tickets.js";

const LATE = 3000; // ms for which a list may be older than what this page was told of a move
const NUMBERS = 250; // ms between two drawings of what changes with every frame

/** @typedef {import("./places.js").Place} Place */
/** @typedef {{onStart: (place: Place) => void, onStop: (place: Place) => Promise<boolean>, onScreen: (tile: Tile) => void}} Tell */

export class Tile {
  /** @param {Place} place @param {Tell} tell */
  constructor(place, tell) {
    const { root, parts } = stamp("tile");
    this.root = root;
    this.parts = parts;
    this.place = place;
    this.tell = tell;
    this.what = ""; // whose pictures these are
    this.usable = false;
    this.selected = false;
    /** @type {string | undefined} */
    this.stopping = undefined; // a session's id: it is asked for nothing any more
    this.picturesCome = false; // what is shown is of now
    this.own = false; // and not of the camera or session that stood here before
    this.noSignal = "";
    this.trouble = "";
    this.verdict = ""; // what the registry made of it that no pictures come
    this.covering = 0;
    this.movedAt = -LATE;
    this.drawnAt = 0;
    this.moved = new MovedLine(parts.moved);
    this.rescue = new Rescue();
    this.meter = new Meter();
    /** @type {import("./facts.js").Seen} */
    this.seen = { fps: null, age: null, objects: null };
    /** @type {CameraMotion | SessionMotion | null} */
    this.motion = null;
    this.motionOf = "";
    this.pictures = new Pictures(parts.still, {
      onPicture: (stamps) => this.pictured(stamps),
      onTrouble: (trouble) => this.lacking(trouble),
      onSight: () => this.move(),
    });
    root.dataset.key = place.key;
    parts.start.addEventListener("click", () => tell.onStart(this.place));
    parts.stop.addEventListener("click", () => this.stop());
    parts.screen.addEventListener("click", () => tell.onScreen(this));
  }

  /** @param {Place} place @param {boolean} usable whether something can be started and stopped */
  update(place, usable) {
    const before = this.place;
    this.usable = usable;
    const what = place.session ? `session ${place.session.session_id}` : `camera ${place.key}`;
    if (what !== this.what) this.begin(what);
    else if (place.session) {
      const old = place.session.token < before.session.token && performance.now() - this.movedAt < LATE;
      if (old) place = { ...place, session: before.session };
      else if (place.session.token !== before.session.token) this.placedAnew();
    }
    this.place = place;
    if (place.session) {
      this.moved.follow(place.session);
      this.rescue.follow(place.session);
      if (!place.session.node) this.lack(t("Waiting for a node …"));
    }
    if (this.follow()) this.pictures.anew();
    this.aim();
    this.move();
    this.draw();
  }

  /** Another camera or session takes this place. @param {string} what */
  begin(what) {
    this.what = what;
    this.own = false; // the picture that is there stays until the first of its own: both are of one camera
    this.rescue = new Rescue();
    this.noSignal = this.trouble = this.verdict = "";
    this.seen = { fps: null, age: null, objects: null };
    this.moved.forget();
  }

  placedAnew() {
    this.movedAt = performance.now();
    this.trouble = ""; // of the placement before
    this.pictures.anew();
    if (this.motion instanceof SessionMotion) this.motion.moved();
  }

  aim() {
    const { session, camera } = this.place;
    if (session) {
      const gone = !session.node || session.session_id === this.stopping;
      this.pictures.aim(gone ? null : this.where, "snapshot_url");
      this.pictures.patience = this.rescue.patience(this.pictures.usual, session.fps);
    } else {
      const gone = !camera?.url || camera.state === "dead";
      this.pictures.aim(gone ? null : this.where, "image_url", Boolean(camera?.original));
    }
  }

  /** Where the camera itself is; null while nothing runs it. */
  get cameraWhere() {
    const { camera } = this.place;
    return camera?.url ? addressesOf("cameras", String(camera.node_id)) : null;
  }

  /** Where the pictures of this place are. */
  get where() {
    const { session } = this.place;
    return session ? addressesOf("sessions", String(session.session_id)) : this.cameraWhere;
  }

  /** Tell where the lists say that they are now; whether a camera is elsewhere. */
  follow() {
    const { session, camera } = this.place;
    if (session) this.where?.placed(`${session.token} ${session.node}`, session.token);
    return this.cameraWhere?.placed(`${camera.url} ${camera.boot_id ?? ""}`) && !session;
  }

  // --- in motion while it is selected and seen

  /** @param {boolean} on */
  select(on) {
    if (on === this.selected) return;
    this.selected = on;
    this.root.classList.toggle("selected", on);
    this.root.tabIndex = on ? 0 : -1;
    if (on) this.root.setAttribute("aria-current", "true");
    else this.root.removeAttribute("aria-current");
    this.move();
    this.draw();
  }

  /** See that it is in motion if it shall be. */
  move() {
    const { session, camera } = this.place;
    const wanted = this.selected && this.pictures.seen && !(session && session.session_id === this.stopping);
    // One of the original's cameras lets no page of elsewhere read its pictures.
    const here = session && recall("overlay") === "yes" && isReachable(this.place) && !camera.original;
    const boxes = here ? this.cameraWhere : null;
    let of = "";
    if (wanted && session) of = `${session.session_id} ${boxes ? camera.url : ""}`;
    else if (wanted && isReachable(this.place) && camera.url && !camera.original) of = `${camera.url} ${camera.boot_id ?? ""}`;
    if (of === this.motionOf) return;
    this.stopMotion();
    this.motionOf = of;
    if (of) this.startMotion(boxes);
  }

  /** @param {import("../tickets.js").Addresses | null} boxes where the camera itself is, when this browser draws */
  startMotion(boxes) {
    const { session } = this.place;
    const where = /** @type {import("../tickets.js").Addresses} */ (this.where);
    if (!session) {
      this.motion = new CameraMotion(this.pictures, where, {
        onFrame: (signal) => this.flow(signal),
        onTrouble: () => this.pictures.slow(0),
      });
      return;
    }
    this.meter.reset();
    this.motion = new SessionMotion(this.pictures, where, boxes, {
      onFrame: (detections) => this.found(detections),
      onFlow: () => this.flow(null),
      onTrouble: (words) => {
        this.pictures.slow(0);
        this.lack(words);
      },
      onSilence: () => this.haveMoved(),
    });
  }

  stopMotion() {
    this.motion?.end();
    this.motion = null;
    this.motionOf = "";
    this.seen = { ...this.seen, fps: null };
    this.pictures.slow(0);
  }

  /** The stream draws now. @param {string | null} signal why its picture is none */
  flow(signal) {
    this.pictures.slow(Number.POSITIVE_INFINITY);
    const noSignal = signal ?? "";
    if (this.picturesCome && this.own && noSignal === this.noSignal) return; // nothing that a tile tells has changed
    this.noSignal = noSignal;
    this.uncover();
    this.draw();
  }

  /** @param {import("../livestream.js").Detections} detections */
  found(detections) {
    this.meter.add(detections);
    this.noSignal = detections.no_signal ?? "";
    const now = performance.now();
    if (now - this.drawnAt < NUMBERS) return;
    this.drawnAt = now;
    this.seen = { fps: this.meter.fps, age: this.meter.latency, objects: countsOf(detections.objects) };
    this.draw();
  }

  async stop() {
    this.stopping = this.place.session?.session_id;
    this.update(this.place, this.usable);
    if (await this.tell.onStop(this.place)) return;
    this.stopping = undefined;
    this.update(this.place, this.usable);
  }

  // --- with pictures or without

  /** @param {import("../still.js").Stamps} stamps */
  pictured({ signal, age, objects }) {
    if (this.place.session) {
      this.rescue.pictured(this.where?.node ?? "");
      this.seen = { ...this.seen, age, objects: objectsOf(objects) };
      this.aim();
    }
    this.noSignal = signal ?? "";
    this.uncover();
    this.draw();
  }

  uncover() {
    this.picturesCome = this.own = true;
    this.trouble = this.verdict = "";
    window.clearTimeout(this.covering);
    this.covering = 0;
  }

  /** @param {import("../still.js").NoPicture} trouble */
  lacking(trouble) {
    const { session } = this.place;
    if (session && this.rescue.isDue(trouble, this.where?.node ?? "")) this.haveMoved();
    this.lack(trouble.message);
  }

  /** @param {string} words */
  lack(words) {
    this.trouble = words;
    if (this.rescue.asked !== this.rescue.token) this.verdict = ""; // it was about the placement before
    this.covering ||= window.setTimeout(() => {
      this.picturesCome = false;
      this.draw();
    }, COVER);
    this.draw();
  }

  async haveMoved() {
    const { session } = this.place;
    if (!session?.node_name || this.rescue.asked === session.token) return;
    this.verdict = t("Node {node} gives no pictures; moving …", { node: session.node_name });
    this.picturesCome = false;
    this.draw();
    const answer = await this.rescue.ask(session);
    if (session.session_id !== this.place.session?.session_id || this.picturesCome) return;
    if (answer.session && answer.session.token > this.place.session.token) {
      this.update({ ...this.place, session: { ...this.place.session, ...answer.session } }, this.usable);
    } else this.verdict = answer.words;
    this.draw();
  }

  draw() {
    drawFace(this.parts, this.place, this);
  }

  leave() {
    window.clearTimeout(this.covering);
    this.moved.forget();
    this.stopMotion();
    this.pictures.leave();
  }
}
