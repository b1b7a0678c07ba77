/** How another computer joins: the commands with an address under which it finds the registry. */

import { partsOf, setText, show } from "../dom.js";
import { t } from "../i18n.js";
import { locked } from "../me.js";
import { whereToStart } from "../words.js";
import { offerCopy } from "./copying.js";

const LOCAL = /^(127\.|localhost$|\[::1\]$)/;
const COMMANDS = {
  compute: "./fogline compute --registry",
  camera: "./fogline camera --source 0 --registry",
};

/** Whether only this computer can be meant. @param {string | undefined} address */
export function isLocal(address) {
  return Boolean(address) && URL.canParse(String(address)) && LOCAL.test(new URL(String(address)).hostname);
}

/**
 * The registry's address as other computers see it: a dashboard beside its registry knows it as this computer's own, and
 * whoever reads this page from elsewhere knows by which name that computer is reached.
 * @param {string | undefined} known @param {string} page the name under which this page was opened
 */
export function addressFor(known, page) {
  if (!known || !URL.canParse(known)) return "http://HOST:5050";
  const url = new URL(known);
  if (LOCAL.test(url.hostname) && !LOCAL.test(page)) url.hostname = page;
  return url.origin;
}

export class Joining {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.parts = partsOf(section);
    for (const name of Object.keys(COMMANDS)) offerCopy(this.parts[name]);
  }

  /** @param {string} registry the registry's address as other computers see it */
  render(registry) {
    const more = locked ? " --host 0.0.0.0 --join-token TOKEN" : "";
    for (const [name, command] of Object.entries(COMMANDS)) setText(partsOf(this.parts[name])["copy-text"], `${command} ${registry}${more}`);
    show(this.parts.token, locked);
    setText(this.parts.where, t("To be run where Fogline is installed, {where}.", { where: whereToStart(registry) }));
  }
}
