/** Numbers and times as people read them, in the page's language and the viewer's zone. */

import { language, t } from "./i18n.js";

const CLOCK = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { day: "numeric", month: "short" });

/** @param {number} value frames a second */
export function rate(value) {
  return value >= 9.95 ? String(Math.round(value)) : value.toFixed(1);
}

/** @param {unknown} value @returns {value is number} */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** @param {number} value milliseconds */
export function milliseconds(value) {
  return value >= 9.95 ? String(Math.round(value)) : value >= 0.095 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return t("{n} s", { n: s });
  if (s < 5400) return t("{n} min", { n: Math.round(s / 60) });
  if (s < 129_600) return t("{n} h", { n: Math.round(s / 3600) });
  return t("{n} d", { n: Math.round(s / 86_400) });
}

/** The time of day, with the day when that is another than today. @param {number} at Unix seconds */
export function clock(at) {
  const then = new Date(at * 1000);
  const time = CLOCK.format(then);
  return then.toDateString() === new Date().toDateString() ? time : `${DAY.format(then)}, ${time}`;
}

const WHOLE = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { dateStyle: "medium", timeStyle: "long" });

/** Day, time and zone. @param {number} at Unix seconds */
export function whole(at) {
  return WHOLE.format(new Date(at * 1000));
}

/** How long ago that was. @param {number} at Unix seconds */
export function ago(at) {
  return t("{time} ago", { time: duration(Date.now() / 1000 - at) });
}

/** How long it is until then. @param {number} at Unix seconds */
export function until(at) {
  return duration(at - Date.now() / 1000);
}

/** @param {(string | null | undefined | false | 0)[]} facts */
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
    ? t("on this computer (for others to join, start Fogline with --host 0.0.0.0)")
    : t("on any computer of this network");
}
