/** One picture of a node, with what the node says of it. */

import { t } from "./i18n.js";

/** @typedef {{signal: string | null, age: number | null, objects: string | null}} Stamps
 *   signal: why the picture is none. age: ms from its capture to its publication. objects: as in X-Objects; null where
 *   the node did not say */
/** @typedef {{picture: Blob | HTMLImageElement, stamps: Stamps}} Answer */

const NODE_AWAY = 502; // of the dashboard, which could not reach the node for this page

/** Why there is no picture. kind: `unreached` no answer, `silent` none in time, `refused` another answer, of `status`. */
export class NoPicture extends Error {
  /** @param {string} words @param {"unreached" | "silent" | "refused"} kind @param {number} [status] */
  constructor(words, kind, status = 0) {
    super(words);
    this.kind = kind;
    this.status = status;
  }
}

export function unreadable() {
  return new NoPicture(t("The picture cannot be read"), "refused");
}

function late() {
  return new NoPicture(t("No picture came in time"), "silent");
}

/** @param {URL} url @param {AbortSignal} signal @returns {Promise<Answer>} */
export async function load(url, signal) {
  let answer;
  let picture;
  try {
    answer = await fetch(url, { signal, cache: "no-store", referrerPolicy: "no-referrer" });
    if (answer.ok) picture = await answer.blob();
  } catch {
    if (signal.aborted) throw late();
    throw new NoPicture(t("This browser cannot reach {host}", { host: url.host }), "unreached");
  }
  if (!picture) {
    const problem = await answer.json().catch(() => null);
    const words = problem?.detail ?? t("The node answered {status}", { status: answer.status });
    throw new NoPicture(words, answer.status === NODE_AWAY ? "unreached" : "refused", answer.status);
  }
  const age = Number.parseFloat(answer.headers.get("X-Age-Ms") ?? "");
  return {
    picture,
    stamps: {
      signal: answer.headers.get("X-No-Signal"),
      age: Number.isFinite(age) ? age : null,
      objects: answer.headers.get("X-Objects"),
    },
  };
}

/** From a node that allows no reading by pages of elsewhere: it can be shown, and no more. @param {URL} url @param {AbortSignal} signal @returns {Promise<Answer>} */
export async function loadPlain(url, signal) {
  const picture = new Image();
  signal.addEventListener("abort", () => picture.removeAttribute("src"));
  url.searchParams.set("t", String(Date.now())); // else the browser shows the one it has
  picture.src = url.href;
  try {
    await picture.decode();
  } catch {
    throw signal.aborted ? late() : unreadable();
  }
  return { picture, stamps: { signal: null, age: null, objects: null } };
}
