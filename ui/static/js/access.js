/** The page for admins: people, API keys, the machines' own keys, and the tokens with which machines join. */

import { ApiKeys } from "./access/api_keys.js";
import { Computers } from "./access/computers.js";
import { JoinTokens } from "./access/join_tokens.js";
import { Once } from "./access/once.js";
import { People } from "./access/people.js";
import { showBanner } from "./banner.js";
import { show } from "./dom.js";
import "./keys.js";
import { locked } from "./me.js";
import { watchOverview } from "./overview.js";

const PERIOD = 10_000; // ms between two readings: sign-ins, uses and last uses change by what others do

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const once = new Once(/** @type {HTMLDialogElement} */ (element("once")));
const people = new People(element("people"), once);
const keys = new ApiKeys(element("api-keys"), once);
const computers = new Computers(element("computers"));
const tokens = new JoinTokens(element("join"));
const all = [people, keys, computers, tokens];

function read() {
  if (document.hidden) return; // a hidden tab costs nothing
  for (const one of all) one.section.read();
}

show(element("open-here"), !locked);
watchOverview((overview) => {
  showBanner(overview);
  computers.hear(overview);
  tokens.hear(overview);
  keys.hear(overview);
});
read();
window.setInterval(read, PERIOD);
document.addEventListener("visibilitychange", read);
