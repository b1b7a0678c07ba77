/** The mesh's cameras in one list: those that joined by themselves, and those that people added. */

import { ofAdded, ofNode } from "../state.js";
import { t } from "../i18n.js";

/**
 * @typedef {{id: string, name: string, standing: import("../state.js").Standing, node: any, added: any, sessions: any[]}}
 *   KnownCamera  node: as which it runs, null while none does. added: as `GET /v1/cameras` lists it, null for one that
 *   joined by itself
 */

/** What is read, in words, by the word that a camera's manifest has for it. @type {Record<string, string>} */
export const KINDS = {
  demo: t("demo"),
  folder: t("folder of pictures"),
  http: "HTTP",
  rtsp: "RTSP",
  v4l2: t("plugged in"),
  video: t("video file"),
};

/**
 * By name. Drafts are nobody's but their author's, and a host without a camera of its own is none.
 * @param {import("../overview.js").Overview} overview
 * @returns {KnownCamera[]}
 */
export function camerasOf(overview) {
  const nodes = new Map(overview.nodes.filter((node) => node.kind === "camera").map((node) => [String(node.node_id), node]));
  const live = overview.sessions.filter((session) => session.state !== "ended");
  /** @type {KnownCamera[]} */
  const found = [];
  for (const added of overview.cameras) {
    const id = String(added.camera_id);
    const node = nodes.get(id) ?? null;
    nodes.delete(id);
    if (!added.draft) found.push({ id, name: String(added.name), standing: ofAdded(added), node, added, sessions: [] });
  }
  for (const [id, node] of nodes) {
    // One that is hosted and not listed was removed a moment ago, or is somebody's draft that just ended.
    if (node.source === "none" || node.hosted_by) continue;
    found.push({ id, name: String(node.name ?? node.host_name ?? id), standing: ofNode(node), node, added: null, sessions: [] });
  }
  for (const one of found) one.sessions = live.filter((session) => session.camera === one.id);
  return found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}
