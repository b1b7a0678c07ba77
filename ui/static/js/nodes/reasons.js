/** Why a node stands as it does, in the viewer's words and zone, and what to do about it. */

import { t } from "../i18n.js";
import { clock, isNumber, sentence } from "../words.js";

const DAY = 86_400; // seconds
const UNREACHABLE = /^unreachable at (\S+): set FOGLINE_ADVERTISE \((.*)\)$/s;
const LOCAL = /^(127\.|localhost$|::1$|\[::1\]$|0\.0\.0\.0$)/;

/** Times of day that the registry tells in UTC, in the viewer's zone. @param {string} words @param {number} now Unix seconds */
export function inZone(words, now) {
  return words.replace(/\b(\d\d):(\d\d):(\d\d) UTC\b/g, (_, hours, minutes, seconds) => {
    const at = Math.floor(now / DAY) * DAY + hours * 3600 + minutes * 60 + Number(seconds);
    return clock(at > now + 60 ? at - DAY : at);
  });
}

/** @param {any} node @param {number} now Unix seconds */
export function reasonOf(node, now) {
  const reason = String(node.state_reason ?? "");
  if (node.state === "dead" && isNumber(node.dead_at)) return sentence(reason.replace(/ at \d\d:\d\d:\d\d UTC$/, ""));
  return sentence(inZone(reason, now));
}

/**
 * What the registry tried when it could not reach a node, and the command that mends it.
 * @param {any} node
 * @param {string} registry its address
 * @returns {{why: string, command: string} | null} null when that is not what is wrong
 */
export function remedyOf(node, registry) {
  const found = node.state === "unreachable" && UNREACHABLE.exec(String(node.state_reason ?? ""));
  if (!found) return null;
  const [, tried, reason] = found;
  const role = node.kind === "camera" ? "camera" : "compute";
  return {
    why: t("The registry tried {address} and failed: {reason}. If a firewall is not to blame, start the node again with the address at which others reach it:", {
      address: tried,
      reason,
    }),
    command: `FOGLINE_ADVERTISE=${likely(node, tried)} ./fogline ${role} --registry ${registry}`,
  };
}

/** The address at which the node may be reached after all. @param {any} node @param {string} tried */
function likely(node, tried) {
  const own = String(node.ip_address ?? "");
  const url = URL.canParse(tried) ? new URL(tried) : null;
  const host = own && !LOCAL.test(own) && own !== url?.hostname ? (own.includes(":") ? `[${own}]` : own) : t("ADDRESS");
  return `http://${host}:${node.port ?? url?.port ?? 8000}`;
}
