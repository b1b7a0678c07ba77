/** What this browser remembers from one visit to the next. One that keeps nothing shows what is usual. */

/** @param {string} name @returns {string | null} */
export function recall(name) {
  try {
    return localStorage.getItem(`fogline.${name}`);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} value */
export function keep(name, value) {
  try {
    localStorage.setItem(`fogline.${name}`, value);
  } catch {
    // Then it is chosen anew next time.
  }
}
