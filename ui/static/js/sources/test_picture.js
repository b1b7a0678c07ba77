/** What a camera gives that is being set up: its picture, or why there is none and what to do. */

import { say, setAttribute, setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { Pictures } from "../pictures.js";
import { addressesOf } from "../tickets.js";
import { isNumber, joined, rate, sentence } from "../words.js";

/** What to do about a reason, by the words that camera hosts use. @type {[RegExp, string][]} */
const REMEDIES = [
  [/asks for a user name/, t("Type the camera's own user name and password above, and test again.")],
  [/does not accept the user/, t("Check the user name and password above: they are the camera's own, not yours here.")],
  [/certificate/, t("If the camera signed its certificate itself, switch off “Check the certificate” under More, and test again.")],
  [/no such stream|path right/, t("The camera is there; look up the path of its stream in its manual.")],
  [/instead of a picture/, t("This is a page, not a stream: look up the address of the stream or the still picture in the manual.")],
  [/does not speak RTSP/, t("RTSP is at port 554 of most cameras; another protocol begins with http://.")],
];

export class TestPicture {
  /** @param {import("../dom.js").Parts} parts */
  constructor(parts) {
    this.parts = parts;
    this.id = "";
    /** @type {string | null | undefined} why the newest picture is none; null for a real one, undefined before any */
    this.signal = undefined;
    this.unreached = ""; // why this browser gets no answer
    /** @type {() => void} */
    this.redraw = () => {};
    this.pictures = new Pictures(parts.image, {
      onPicture: ({ signal }) => this.learn(signal, ""),
      onTrouble: ({ kind, message }) => this.learn(undefined, kind === "unreached" ? message : ""),
      onSight: () => {},
    });
  }

  /** @param {string | null | undefined} signal @param {string} unreached */
  learn(signal, unreached) {
    this.signal = signal;
    this.unreached = unreached;
    this.redraw();
  }

  /**
   * @param {any} camera an added one, as the registry lists it; null for none
   * @param {import("../overview.js").Overview} overview
   */
  render(camera, overview) {
    const id = String(camera?.camera_id ?? "");
    if (id !== this.id) {
      this.id = id;
      this.signal = undefined;
      this.unreached = "";
    }
    this.redraw = () => this.render(camera, overview);
    const where = camera?.url ? addressesOf("cameras", id) : null;
    this.pictures.aim(where);
    if (where?.placed(`${camera.url} ${camera.revision}`)) this.pictures.anew();
    const node = overview.nodes.find((one) => one.node_id === id);
    const works = Boolean(camera) && this.signal === null;
    const reason = works || !camera ? "" : this.reasonOf(camera);
    show(this.parts.image, works);
    show(this.parts.verdict, Boolean(camera));
    show(this.parts.turning, Boolean(camera) && !works && !reason);
    show(this.parts.idle, !camera);
    show(this.parts.none, Boolean(reason));
    setAttribute(this.parts.verdict, "data-tone", works ? "ok" : reason ? "bad" : "busy");
    setText(this.parts.words, works ? factsOf(camera, node) : reason ? sentence(reason) : progressOf(camera));
    say(this.parts.remedy, reason ? REMEDIES.find(([words]) => words.test(reason))?.[1] : null);
  }

  /** Why there is no picture; "" while it may still come. @param {any} camera */
  reasonOf(camera) {
    if (this.signal && !this.signal.startsWith("connecting")) return this.signal;
    const reason = String(camera.state_reason ?? "");
    if (camera.state === "failing" && !reason.startsWith("connecting")) return reason;
    return camera.state === "running" ? this.unreached : "";
  }

  /** Look no more. */
  stop() {
    this.redraw = () => {};
    this.pictures.aim(null);
    this.id = "";
  }
}

/** @param {any} camera */
function progressOf(camera) {
  if (!camera) return "";
  if (camera.state === "waiting") return sentence(String(camera.state_reason || t("Waiting for a camera host …")));
  return camera.host_name ? t("Connecting … (on {host})", { host: camera.host_name }) : t("Connecting …");
}

/** @param {any} camera @param {any} node as which it runs */
function factsOf(camera, node) {
  const fps = node?.load?.fps || node?.fps;
  return joined([
    t("The picture comes"),
    node?.width && node?.height && `${node.width} × ${node.height}`,
    isNumber(fps) && fps > 0 && t("{n} fps", { n: rate(fps) }),
    camera.host_name && t("on {name}", { name: camera.host_name }),
  ]);
}
