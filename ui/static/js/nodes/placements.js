/**
 * What runs where: the sessions that have not ended, by their node. Each change of a session is heard at once, while the
 * counts in the nodes' own documents are read later.
 */

import { t } from "../i18n.js";
import { ofSession } from "../state.js";
import { at } from "../root.js";

/** @param {any} node how people call it */
export const nameOf = (node) => String(node.FriendlyName || node.name || node.host_name || node.node_id);

/** A camera node that only runs added cameras has no pictures of its own. @param {any} node */
export const isCamera = (node) => node.kind === "camera" && node.source !== "none";

export class Placements {
  /** @param {any[]} sessions */
  constructor(sessions) {
    this.all = sessions
      .filter((session) => session.state !== "ended")
      .sort((a, b) => (cameraOf(a) < cameraOf(b) ? -1 : cameraOf(a) > cameraOf(b) ? 1 : a.algorithm < b.algorithm ? -1 : 1));
    /** @type {Map<string, any[]>} */
    this.byNode = new Map();
    for (const session of this.all) {
      for (const id of new Set([session.node, session.following])) {
        if (!id) continue;
        const there = this.byNode.get(id);
        if (there) there.push(session);
        else this.byNode.set(id, [session]);
      }
    }
  }

  /** The sessions that a node serves, or is about to take over. @param {string} id @returns {any[]} */
  at(id) {
    return this.byNode.get(id) ?? [];
  }
}

/** @param {any} session the name of its camera */
export const cameraOf = (session) => String(session.camera_name || session.camera);

/** @param {any} session */
export const addressOf = (session) => at(`/s/${encodeURIComponent(session.session_id)}`);

/** How a session does, in one word; one that runs and gives nothing has a problem. @param {any} session */
export function wordOf(session) {
  const { word, tone } = ofSession(session);
  return session.state === "running" && tone !== "ok" ? t("Problem") : word;
}
