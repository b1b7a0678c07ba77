/** The picture of a session: live, with boxes by the node or by this browser, or the reason why there is none. */

import { moveSession } from "../calls.js";
import { setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { keep, recall } from "../kept.js";
import { onKey } from "../keys.js";
import { LiveStream } from "../livestream.js";
import { COVER, MovingPicture } from "../mjpeg.js";
import { Overlay } from "../overlay.js";
import { Painting } from "../painting.js";
import { addressesOf } from "../tickets.js";
import { sentence } from "../words.js";

const OVERLAY = "overlay"; // whether this browser draws boxes itself, on the wall too

/**
 * @typedef {{onFrame: (detections: import("../livestream.js").Detections) => void, onChange: () => void,
 *   onMoved: (session: any) => void}} Tell
 *   onChange: pictures have begun or ceased to flow. onMoved: the registry has moved the session because we asked.
 */

export class Stage {
  /** @param {import("../dom.js").Parts} parts @param {string} id @param {Tell} tell */
  constructor(parts, id, tell) {
    this.parts = parts;
    this.id = id;
    this.tell = tell;
    this.flowing = false;
    /** @type {any} */
    this.session = null;
    this.where = addressesOf("sessions", id);
    /** @type {import("../tickets.js").Addresses | null} of the camera, when it has a stream that can be shown */
    this.camera = null;
    this.trouble = "";
    this.verdict = ""; // what the registry made of it that no pictures come
    this.covering = 0;
    this.overlay = new Overlay(parts.boxes);
    const painting = new Painting(parts.live);
    this.picture = new MovingPicture((picture) => painting.draw(picture));
    this.stream = new LiveStream(this.picture, this.where, {
      onFrame: (detections) => {
        if (!parts.boxes.hidden) this.overlay.draw(detections);
        tell.onFrame(detections);
      },
      onFlow: () => this.uncover(),
      onTrouble: (words) => this.lack(words),
      onSilence: () => this.askForAMove(),
    });
    parts.screen.addEventListener("click", () => this.fullScreen());
    onKey("f", () => this.fullScreen());
    this.rememberOverlay();
  }

  start() {
    this.stream.start();
  }

  stop() {
    this.stream.stop();
    window.clearTimeout(this.covering);
  }

  /**
   * What the registry says now.
   * @param {any} session
   * @param {any} node the camera's, when there is one
   */
  update(session, node) {
    const moved = this.session && session.token !== this.session.token;
    this.session = session;
    this.where.placed(`${session.token} ${session.node}`, session.token);
    // One of the original's cameras lets no page of elsewhere read its pictures.
    const camera = node?.url && !node.original ? addressesOf("cameras", String(node.node_id)) : null;
    camera?.placed(String(node.url));
    if (camera !== this.camera) {
      this.camera = camera;
      this.choosePictures();
    }
    this.parts.overlay.disabled = !camera;
    if (moved) this.stream.moved();
    else if (!this.parts.cover.hidden && this.trouble) this.cover();
  }

  // --- with pictures or without

  uncover() {
    this.flowing = true;
    this.trouble = this.verdict = "";
    window.clearTimeout(this.covering);
    this.covering = 0;
    show(this.parts.cover, false);
    this.parts.stage.classList.remove("old");
    this.tell.onChange();
  }

  /** @param {string} words */
  lack(words) {
    this.flowing = false;
    this.trouble = words;
    this.overlay.clear();
    this.covering ||= window.setTimeout(() => this.cover(), COVER);
    if (!this.parts.cover.hidden) this.cover();
    this.tell.onChange();
  }

  /** Why there is no picture: the registry knows more than a broken connection tells. */
  cover() {
    const waits = this.session && !this.session.node;
    const reason = waits ? sentence(String(this.session.state_reason ?? "")) : "";
    setText(
      this.parts["cover-text"],
      (!reason && this.verdict) || t("{reason}. Trying again …", { reason: reason || this.trouble }),
    );
    show(this.parts.cover, true);
    this.parts.stage.classList.add("old");
  }

  async askForAMove() {
    const { token, node_name: node } = this.session ?? {};
    if (!token || !node) return;
    this.verdict = t("Node {node} gives no pictures; moving …", { node });
    this.cover();
    try {
      const found = await moveSession(this.id, token);
      if (found.token === this.session.token) {
        const outcome = sentence(String(found.outcome ?? ""));
        this.verdict = outcome && t("Node {node} gives no pictures. {outcome}.", { node, outcome });
      } else this.tell.onMoved(found);
    } catch {
      this.verdict = ""; // the registry is away, and the banner says so: the node may come back by itself
    }
    if (!this.flowing) this.cover();
  }

  // --- how it is shown

  /** Pictures from the camera itself with boxes drawn here, or the node's own with boxes in them. */
  choosePictures() {
    const here = this.parts.overlay.checked && this.camera !== null;
    show(this.parts.boxes, here);
    this.overlay.clear();
    this.stream.show(here ? this.camera : null);
  }

  rememberOverlay() {
    const { overlay } = this.parts;
    overlay.checked = recall(OVERLAY) === "yes";
    overlay.addEventListener("change", () => {
      keep(OVERLAY, overlay.checked ? "yes" : "no");
      this.choosePictures();
    });
    onKey("b", () => !overlay.disabled && overlay.click());
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.parts.stage.requestFullscreen?.().catch(() => {}); // a browser may refuse; the picture stays as it is
  }
}
