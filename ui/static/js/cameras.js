/** The cameras as tiles with live pictures. */

import { partsOf, say, setAttribute, setText, show, stamp } from "./dom.js";
import { reconcile } from "./keyed.js";
import { Snapshots } from "./snapshots.js";
import { ofNode, paint } from "./state.js";
import { isNumber, joined, rate, sentence, whereToStart } from "./words.js";

const PERIOD = 700; // ms: enough to see movement, little enough for a wall of them

export class Cameras {
  /** @param {HTMLElement} section @param {(camera: any) => void} onStart */
  constructor(section, onStart) {
    this.parts = partsOf(section);
    this.onStart = onStart;
  }

  /** @param {import("./overview.js").Overview} overview */
  render(overview) {
    const cameras = overview.nodes.filter((node) => node.kind === "camera");
    const { list, count, empty, waiting, registry, where } = this.parts;
    reconcile(
      list,
      cameras,
      (camera) => String(camera.node_id),
      (camera) => new CameraTile(camera, this.onStart),
      (tile, camera) => tile.update(camera, overview),
    );
    setText(count, cameras.length ? String(cameras.length) : "");
    setText(registry, overview.registry.url ?? "http://HOST:5050");
    setText(where, whereToStart(overview.registry.url ?? ""));
    show(waiting, !overview.known && (overview.registry.ok || Boolean(overview.first)));
    show(empty, overview.known && cameras.length === 0);
  }
}

class CameraTile {
  /** @param {any} camera @param {(camera: any) => void} onStart */
  constructor(camera, onStart) {
    const { root, parts } = stamp("camera-tile");
    this.root = root;
    this.parts = parts;
    this.camera = camera;
    this.signal = "";
    parts.start.addEventListener("click", () => onStart(this.camera));
    this.snapshots = new Snapshots(parts.image, {
      period: PERIOD,
      onPicture: ({ signal }) => this.pictured(signal),
      onTrouble: (words) => this.troubled(words),
    });
  }

  /** @param {any} camera @param {import("./overview.js").Overview} overview */
  update(camera, overview) {
    this.camera = camera;
    const { parts } = this;
    const name = String(camera.name ?? camera.host_name ?? camera.node_id);
    const standing = ofNode(camera);
    setText(parts.name, name);
    setAttribute(parts.name, "title", name);
    setAttribute(parts.image, "alt", `Live picture of ${name}`);
    setAttribute(parts.start, "aria-label", `Start an algorithm on ${name}`);
    paint(parts.state, parts.word, standing);
    setAttribute(parts.reason, "data-tone", standing.tone);
    say(parts.reason, standing.reason && sentence(standing.reason));
    const fps = camera.load?.fps || camera.fps;
    const running = overview.sessions.filter((s) => s.camera === camera.node_id).length;
    setText(
      parts.facts,
      joined([
        camera.width && camera.height && `${camera.width} × ${camera.height}`,
        isNumber(fps) && fps > 0 && `${rate(fps)} fps`,
        camera.source && String(camera.source),
        camera.original && "original",
        running > 0 && `${running} running`,
      ]) || "Size not known yet",
    );
    parts.start.disabled = ["dead", "unreachable"].includes(camera.state) || overview.stale;
    const url = String(camera.url ?? "").replace(/\/$/, "");
    if (camera.state === "dead") this.troubled("this camera is gone");
    this.snapshots.aim(camera.state === "dead" || !url ? "" : `${url}/image.jpg`, {
      scaled: true,
      plain: Boolean(camera.original),
    });
  }

  /** @param {string | null} signal why the picture is none */
  pictured(signal) {
    const { parts } = this;
    show(parts.image, true);
    show(parts.cover, false);
    parts.frame.classList.toggle("no-signal", Boolean(signal));
    parts.frame.classList.remove("old");
  }

  /** @param {string} words */
  troubled(words) {
    const { parts } = this;
    setText(parts["cover-text"], sentence(words));
    show(parts.cover, true);
    parts.frame.classList.add("old");
  }

  leave() {
    this.snapshots.leave();
  }
}
