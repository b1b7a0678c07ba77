/** A camera's address: its user and password apart from it, as people type them, and within it, as it is sent. */

/** @typedef {{address: string, user: string, password: string}} Parts  user, password: "" for none, not encoded */

const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i;

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that is one
  }
}

/**
 * What stands in `text`, as somebody may have copied it from a manual or another program.
 * @param {string} text
 * @returns {Parts}
 */
export function takenApart(text) {
  const address = text.trim();
  const scheme = SCHEME.exec(address)?.[0] ?? "";
  const rest = address.slice(scheme.length);
  const authority = rest.split(/[/?#]/, 1)[0];
  let at = authority.lastIndexOf("@");
  // "admin:a/b@10.0.0.5": what would be the port is no number, so the password has a slash that was not encoded.
  if (at < 0 && !authority.startsWith("[") && /:.*[^0-9]/.test(authority)) at = rest.lastIndexOf("@");
  if (!scheme || at < 0) return { address, user: "", password: "" };
  const [user, ...password] = rest.slice(0, at).split(":");
  return { address: scheme + rest.slice(at + 1), user: decoded(user), password: decoded(password.join(":")) };
}

/** The address with everything in it. @param {Parts} parts */
export function joinedUp({ address, user, password }) {
  if (!user && !password) return address;
  const who = `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
  return address.replace(SCHEME, (scheme) => scheme + who);
}

/** The host, "" where none is named. @param {string} address without user and password */
export function hostOf(address) {
  if (!SCHEME.test(address)) return "";
  return /^(\[[^\]]*\]|[^:/?#]*)/.exec(address.replace(SCHEME, ""))?.[0] ?? "";
}
