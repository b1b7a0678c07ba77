/** Join tokens: making one gives the command for the other machine, once; those that are open are listed. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { offerCopy } from "../nodes/copying.js";
import { addressFor, isLocal } from "../nodes/joining.js";
import { note } from "../notes.js";
import { ago, sentence, until, whole } from "../words.js";
import { getTokens, makeToken, removeToken } from "./calls.js";
import { Deed } from "./deed.js";
import { Section } from "./section.js";
import { workTabs } from "./tabs.js";

/** @typedef {import("./calls.js").JoinToken} JoinToken */

/** @type {Record<string, (registry: string, secret: string) => string>} */
const COMMANDS = {
  compute: (registry, secret) => `./fogline compute --registry ${registry} --host 0.0.0.0 --join-token ${secret}`,
  camera: (registry, secret) => `./fogline camera --source 0 --registry ${registry} --host 0.0.0.0 --join-token ${secret}`,
  docker: (registry, secret) =>
    `docker run -d --restart unless-stopped --network host --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -v fogline:/data -e FOGLINE_REGISTRY=${registry} -e FOGLINE_JOIN_TOKEN=${secret} fogline/compute`,
};

export class JoinTokens {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.parts = partsOf(root);
    this.known = ""; // the registry's address as the dashboard knows it
    this.secret = "";
    /** @type {Section<JoinToken>} */
    this.section = new Section(root, { read: getTokens, draw: (tokens) => this.draw(tokens) });
    for (const kind of Object.keys(COMMANDS)) offerCopy(this.parts[kind]);
    workTabs(this.parts.tabs);
    this.parts.done.addEventListener("click", () => this.hide());
    this.parts.form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.make();
    });
    this.parts.go.disabled = false; // it does something from now on
  }

  /** @param {import("../overview.js").Overview} overview */
  hear({ registry }) {
    this.known = registry.url;
    this.drawCommands();
  }

  async make() {
    const { parts } = this;
    const name = parts.name.value.trim();
    parts.go.disabled = true;
    say(parts.refusal, null);
    try {
      const { secret, token } = await makeToken({ uses: Number(parts.uses.value), expires_in: Number(parts.expires.value), ...(name ? { name } : {}) });
      this.secret = secret;
      const words = n(token.uses, "{n} machine may join with this token, within {time}. It is shown now and never again.", "{n} machines may join with this token, within {time}. It is shown now and never again.", { time: until(token.expires_at) });
      setText(parts["made-words"], words);
      this.drawCommands();
      show(parts.made, true);
      parts.made.focus({ preventScroll: true });
      parts.made.scrollIntoView({ block: "nearest" });
      parts.name.value = "";
      this.section.read();
    } catch (error) {
      say(parts.refusal, `${sentence(/** @type {Error} */ (error).message)}.`);
    }
    parts.go.disabled = false;
  }

  hide() {
    this.secret = "";
    show(this.parts.made, false);
    for (const kind of Object.keys(COMMANDS)) setText(partsOf(this.parts[kind])["copy-text"], "");
    this.parts.go.focus();
  }

  drawCommands() {
    if (!this.secret) return;
    const registry = addressFor(this.known, window.location.hostname);
    for (const [kind, command] of Object.entries(COMMANDS)) setText(partsOf(this.parts[kind])["copy-text"], command(registry, this.secret));
    setText(this.parts.where, whereFrom(this.known, registry));
  }

  /** @param {JoinToken[]} tokens */
  draw(tokens) {
    reconcile(
      this.parts.list,
      tokens.toSorted((a, b) => b.created_at - a.created_at),
      (token) => token.token_id,
      (token) => this.row(token),
      ({ parts }, token) => draw(parts, token),
    );
    return tokens.length;
  }

  /** @param {JoinToken} token */
  row({ token_id: id, name }) {
    const { root, parts } = stamp("token-row");
    const deed = new Deed(parts.remove, {
      question: () => t("Remove “{name}”? Nothing more can join with it; what has joined stays.", { name }),
      act: async () => {
        await removeToken(id);
        note(t("“{name}” is removed.", { name }));
        this.section.read();
      },
    });
    setAttribute(deed.parts.ask, "aria-label", t("Remove “{name}”", { name }));
    return { root, parts };
  }
}

/** From where the address in the command comes. @param {string} known @param {string} registry */
function whereFrom(known, registry) {
  if (isLocal(registry)) {
    return t("{registry} is reached on this computer only. For other machines, start Fogline with --host 0.0.0.0 and open this page by this computer's address.", { registry });
  }
  if (isLocal(known)) {
    return t("The registry runs beside this dashboard, so its address in the command is the name under which you opened this page: {registry}. If the other machine knows this computer by another name, change it.", { registry });
  }
  return t("The other machine must reach the registry at {registry}.", { registry });
}

/** @param {import("../dom.js").Parts} parts @param {JoinToken} token */
function draw(parts, token) {
  const over = token.expires_at < Date.now() / 1000;
  setText(parts.name, token.name);
  setText(parts.uses, t("{left} of {all}", { left: token.uses_left, all: token.uses }));
  show(parts.spent, token.uses_left === 0);
  show(parts.expired, over);
  show(parts.expires, !over);
  setText(parts.expires, t("in {time}", { time: until(token.expires_at) }));
  setAttribute(parts.expires, "title", whole(token.expires_at));
  setText(parts.made, t("{time} by {name}", { time: ago(token.created_at), name: token.created_by }));
  setAttribute(parts.made, "title", whole(token.created_at));
}
