/** Numbers and times as people read them. */

/** @param {number} value frames a second */
export function rate(value) {
  return value >= 9.95 ? String(Math.round(value)) : value.toFixed(1);
}

/** @param {unknown} value @returns {value is number} */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${Math.round(s / 3600)} h`;
}

/** The time of day. @param {number} at Unix seconds */
export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString("en-GB");
}

/** @param {number} count @param {string} one @param {string} [more] */
export function many(count, one, more) {
  return `${count} ${count === 1 ? one : (more ?? one + "s")}`;
}

/** @param {(string | null | undefined | false)[]} facts */
export function joined(facts) {
  return facts.filter(Boolean).join(" · ");
}

/** A sentence's first letter large, unless it begins with an address or a name. @param {string} words */
export function sentence(words) {
  return /^[a-zà-ÿ'’-]+(:?\s|[,;]|$)/u.test(words) ? words[0].toLocaleUpperCase() + words.slice(1) : words;
}

/** On which computers a node can be started so that it finds this registry. @param {string} registry its address */
export function whereToStart(registry) {
  const local = /^https?:\/\/(127\.|localhost|\[::1\])/.test(registry);
  return local
    ? "on this computer (for others to join, start Fogline with --host 0.0.0.0)"
    : "on any computer of this network";
}
