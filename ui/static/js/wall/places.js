/** The wall's places: one for every session, and one for every camera on which nothing runs. */

import { t } from "../i18n.js";
import { camerasOf } from "../sources/known.js";
import { ofAdded, ofNode, ofSession } from "../state.js";

/**
 * @typedef {{key: string, beside: string, name: string, camera: any, added: any, session: any, algorithm: string,
 *   model: string, standing: import("../state.js").Standing}} Place
 *   key: the camera's id, so that a session stands where its camera stood. beside: the key of the place of the same
 *   camera that a further session stands beside, else "". camera: the node, null while none runs it. added: as
 *   `GET /v1/cameras` lists it. session: null for a camera on which nothing runs. algorithm: its name for people.
 */

/**
 * In the order of the cameras' names, the sessions of one camera side by side.
 * @param {import("../overview.js").Overview} overview
 * @returns {Place[]}
 */
export function placesOf(overview) {
  const offers = new Map(overview.algorithms.map((algorithm) => [algorithm.id, algorithm]));
  /** @type {Map<string, any[]>} */
  const running = new Map();
  for (const session of overview.sessions) {
    if (session.state === "ended") continue;
    const id = String(session.camera);
    running.set(id, [...(running.get(id) ?? []), session]);
  }
  const hidden = new Set(overview.cameras.filter((camera) => camera.draft).map((camera) => String(camera.camera_id)));
  const cameras = camerasOf(overview).map(({ id, name, node, added }) => ({ id, name, node, added }));
  const known = new Set(cameras.map(({ id }) => id));
  for (const [id, [session]] of running) {
    if (known.has(id) || hidden.has(id)) continue;
    const node = overview.nodes.find((one) => one.node_id === id) ?? null;
    cameras.push({ id, name: String(session.camera_name ?? id), node, added: null });
  }
  return cameras
    .sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }) || (a.id < b.id ? -1 : 1))
    .flatMap(({ id, name, node, added }) => {
      const sessions = (running.get(id) ?? []).sort((a, b) => a.created_at - b.created_at || (a.session_id < b.session_id ? -1 : 1));
      return (sessions.length ? sessions : [null]).map((session, place) => {
        const offer = session && offers.get(session.algorithm);
        const server = (offer?.nodes ?? []).find((/** @type {any} */ one) => one.id === session?.node);
        return {
          key: place ? `${id} ${session.session_id}` : id,
          beside: place ? id : "",
          name,
          camera: node,
          added,
          session,
          algorithm: session ? String(offer?.name ?? session.algorithm) : "",
          model: String(server?.model ?? ""),
          standing: session ? ofSession(session) : node || !added ? ofNode(node ?? {}) : ofAdded(added),
        };
      });
    });
}

/** Whether all of `words` are said of a place. @param {Place} place @param {string[]} words in lower case */
export function isMeant(place, words) {
  const { name, algorithm, session, standing, camera } = place;
  const said = [name, algorithm, session?.algorithm, session?.node_name, standing.word, camera?.source, camera?.host_name];
  const text = said.filter(Boolean).join(" ").toLocaleLowerCase();
  return words.every((word) => text.includes(word));
}

/** Whether an algorithm can be started there. @param {Place} place */
export function isReachable({ camera }) {
  return Boolean(camera) && !["dead", "unreachable"].includes(camera.state);
}

/** What a place is called, for those who listen. @param {Place} place */
export function titleOf({ name, algorithm }) {
  return algorithm ? t("{algorithm} on {camera}", { algorithm, camera: name }) : name;
}
