/** The page's language. Texts are written in English where they are used; the table has them in the page's language. */

const root = document.documentElement;

/** The page's language, for numbers and times too. */
export const language = root.lang || "en";

/** @type {Record<string, string | string[]>} */
let table = {};
if (root.dataset.words) {
  try {
    table = await (await fetch(root.dataset.words)).json();
  } catch {
    // English is better than nothing.
  }
}

/** @param {string} text @param {Record<string, string | number>} values */
function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * `text` in the page's language, `{name}` replaced by values.
 * @param {string} text
 * @param {Record<string, string | number>} [values]
 */
export function t(text, values = {}) {
  const found = table[text];
  return filled(typeof found === "string" ? found : text, values);
}

/**
 * The form for a number, which stands in the text as `{n}`. The table's languages have one form for all numbers.
 * @param {number} count
 * @param {string} one
 * @param {string} more
 * @param {Record<string, string | number>} [values]
 */
export function n(count, one, more, values = {}) {
  const found = table[one];
  const text = Array.isArray(found) ? found[0] : count === 1 ? one : more;
  return filled(text, { n: count.toLocaleString(language), ...values });
}
