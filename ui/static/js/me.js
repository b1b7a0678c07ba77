/** Who looks at this page, and what they may do: the server said so when it sent the page. */

/**
 * @typedef {{kind: string, name: string, role: string | null, scopes: string[], legacy_open: boolean}} Me
 *   kind: `local` where this computer alone can open the dashboard, and nobody signs in. legacy_open: the original's
 *   devices are let in without a key.
 */

const EVERYTHING = { kind: "local", name: "", role: null, scopes: ["view", "detect", "operate", "admin"], legacy_open: false };

/** @type {Me} */
export const me = { ...EVERYTHING, ...JSON.parse(document.getElementById("me")?.textContent ?? "{}") };

/** The mesh asks for a sign-in, and its nodes for a key of their own. */
export const locked = me.kind !== "local";

/** @param {string} name of a person */
export const isMe = (name) => me.kind === "person" && me.name === name;

/**
 * Whether what needs this scope is worth offering. The registry decides when it is asked.
 * @param {"view" | "detect" | "operate" | "admin"} scope
 */
export function can(scope) {
  return me.scopes.includes(scope);
}
