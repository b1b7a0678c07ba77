/** What the pages ask of the dashboard's own server. */

/** An answer that is an error, with the words that the server gave for people. */
export class Refused extends Error {
  /** @param {string} detail @param {number} status 0 when no answer came @param {string} [field] of the request, where one is wrong */
  constructor(detail, status, field = "") {
    super(detail);
    this.status = status;
    this.field = field;
  }
}

const PATIENCE = 12_000; // ms: the server gives up on the registry before

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
      keepalive: method === "DELETE", // what was begun here may still be ended while the page goes
    });
  } catch {
    throw new Refused("the dashboard's server does not answer", 0);
  }
  const text = await answer.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(`the dashboard's server gave an answer that is not JSON (${answer.status})`, answer.status);
  }
  if (answer.ok) return document;
  throw new Refused(document?.detail ?? `the dashboard's server answered ${answer.status}`, answer.status, document?.field);
}

/** @param {string} id */
export const getSession = (id) => call("GET", `/api/sessions/${encodeURIComponent(id)}`);

/** What the node that serves a session says of its frames. @param {string} id */
export const getStats = (id) => call("GET", `/sessions/${encodeURIComponent(id)}/stats`);

/** @param {{camera: string, algorithm: string, node?: string, pinned?: boolean, gate?: string, width?: number, height?: number, fps?: number}} wish */
export const startSession = (wish) => call("POST", "/api/sessions", wish);

/** No pictures come from the placement with this token. @param {string} id @param {number} token */
export const moveSession = (id, token) => call("POST", `/api/sessions/${encodeURIComponent(id)}/failover`, { token });

/** @param {string} id @param {boolean} on */
export const drainNode = (id, on) => call("POST", `/api/nodes/${encodeURIComponent(id)}/${on ? "drain" : "undrain"}`, {});

/** @typedef {{name: string, source: string, width?: number, height?: number, fps?: number, verify?: boolean,
 *   host?: string | null, draft?: boolean}} CameraWish */

/** @param {CameraWish} wish */
export const addCamera = (wish) => call("POST", "/api/cameras", wish);

/** @param {string} id */
export const getCamera = (id) => call("GET", `/api/cameras/${encodeURIComponent(id)}`);

/** @param {string} id @param {Partial<CameraWish>} change */
export const changeCamera = (id, change) => call("PATCH", `/api/cameras/${encodeURIComponent(id)}`, change);

/** @param {string} id */
export const removeCamera = (id) => call("DELETE", `/api/cameras/${encodeURIComponent(id)}`);

/** Cameras and registries that answer on the registry's network; takes seconds. */
export const getDiscovered = () => call("GET", "/api/discovered");

/** @param {string} id */
export const stopSession = (id) => call("DELETE", `/api/sessions/${encodeURIComponent(id)}`);
