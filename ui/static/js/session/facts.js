/** What was asked for and what was made of it. */

import { setText, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { clock, joined, sentence } from "../words.js";

/** @type {Record<string, string>} */
const LIBRARIES = { openvino: "OpenVINO", onnxruntime: "ONNX Runtime", opencv: "OpenCV", python: "Python" };

/**
 * @param {HTMLElement} list
 * @param {any} session
 * @param {import("../overview.js").Overview} overview
 * @param {import("../livestream.js").Detections | null} newest
 */
export function showFacts(list, session, overview, newest) {
  const offered = offeredBy(overview, session);
  const model = newest ? newest.model : offered?.model;
  const size = newest?.frame;
  /** @type {[string, string | null | undefined | false][]} */
  const facts = [
    [t("Algorithm"), joined([session.algorithm, offered?.category])],
    [t("Model"), joined([model, offered?.input && `${offered.input[1]} × ${offered.input[0]}`]) || t("none")],
    [t("Computed by"), offered?.engine && engine(offered.engine)],
    [t("Picture"), size && `${size.width} × ${size.height}`],
    [t("Asked for"), asked(session)],
    [t("Searches"), session.gate ? t("only when something moves") : t("every picture")],
    [t("Runs"), session.pinned ? t("until it is stopped, watched or not") : t("while somebody watches")],
    [t("Viewers"), n(session.viewers ?? 0, "{n} viewer", "{n} viewers")],
    [t("Started"), session.created_at && clock(session.created_at)],
    [t("Ends"), session.expires_at && clock(session.expires_at)],
    [t("Placed because"), session.why && sentence(session.why)],
    [t("Token"), session.token && String(session.token)],
    [t("Id"), session.session_id],
  ];
  reconcile(
    list,
    facts.filter(([, value]) => value),
    ([name]) => name,
    ([name]) => {
      const row = stamp("fact-row");
      setText(row.parts.name, name);
      return row;
    },
    (row, [, value]) => setText(row.parts.value, String(value)),
  );
}

/** The entry of the session's node for its algorithm. @param {import("../overview.js").Overview} overview @param {any} session */
function offeredBy(overview, session) {
  const node = overview.nodes.find((one) => one.node_id === session.node);
  return node?.algorithm?.find((/** @type {any} */ one) => one.id === session.algorithm);
}

/** `openvino:cpu.bf16` as people say it. @param {string} name */
function engine(name) {
  const [library, device = ""] = name.split(":");
  return joined([LIBRARIES[library] ?? library, ...device.split(".").map((part) => part.toUpperCase())]);
}

/** @param {any} session */
function asked({ width, height, max_fps: fps, require, speed }) {
  const wide = width && t("{n} pixels wide", { n: width });
  const high = height && t("{n} pixels high", { n: height });
  const labels = Object.entries(require ?? {}).map(([key, value]) => `${key}=${value}`);
  return (
    joined([
      wide && high ? `${width} × ${height}` : wide || high,
      fps && t("{n} a second at most", { n: String(fps) }),
      ...labels,
      speed === "fastest" && t("the fastest node"),
    ]) || t("as the camera gives it")
  );
}
