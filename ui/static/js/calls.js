/** What the pages ask of the dashboard's own server. */

import { at } from "./root.js";
import { signedOut } from "./signing.js";

/** An answer that is an error, with the words that the server gave for people. */
export class Refused extends Error {
  /**
   * @param {string} detail
   * @param {number} status 0 when no answer came
   * @param {string} [field] of the request, where one is wrong
   * @param {number} [retryAfter] seconds, where the server says so
   */
  constructor(detail, status, field = "", retryAfter = 0) {
    super(detail);
    this.status = status;
    this.field = field;
    this.retryAfter = retryAfter;
  }
}

const PATIENCE = 12_000; // ms: the server gives up on the registry before

/**
 * @param {string} method
 * @param {string} path below the dashboard's own root
 * @param {unknown} [body]
 * @param {{stays?: boolean}} [manner] stays: where a credential is wrong, the page says so itself; else that the
 *   sign-in has ended is told, or it is led to
 * @returns {Promise<any>}
 */
export async function call(method, path, body, { stays = false } = {}) {
  let answer;
  try {
    answer = await fetch(at(path), {
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
  if (answer.status === 401 && !stays) signedOut();
  throw new Refused(
    document?.detail ?? `the dashboard's server answered ${answer.status}`,
    answer.status,
    document?.field,
    Number(answer.headers.get("Retry-After")) || 0,
  );
}

/** @param {string} id */
export const getSession = (id) => call("GET", `/api/sessions/${encodeURIComponent(id)}`);

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

/** Where these sessions and cameras are now. @param {{sessions: string[], cameras: string[]}} wish */
export const getTickets = (wish) => call("POST", "/api/tickets", wish);

/** Who this browser is to the dashboard. */
export const getMe = () => call("GET", "/api/me");
