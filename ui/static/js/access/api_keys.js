/** The programs' keys: what each may do, until when, and when it was used last. */

import { partsOf, setAttribute, setText, show, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { note } from "../notes.js";
import { ago, joined, until, whole } from "../words.js";
import { getKeys, revokeKey } from "./calls.js";
import { Deed } from "./deed.js";
import { KeyDialog } from "./key_dialog.js";
import { Section } from "./section.js";

/** @typedef {import("./calls.js").ApiKey} ApiKey */

const REGISTRY = "the registry"; // which made the key itself, when it started, for its machine's command line

export class ApiKeys {
  /** @param {HTMLElement} root @param {import("./once.js").Once} once */
  constructor(root, once) {
    this.parts = partsOf(root);
    /** @type {Section<ApiKey>} */
    this.section = new Section(root, { read: getKeys, draw: (keys) => this.draw(keys) });
    this.dialog = new KeyDialog(/** @type {HTMLDialogElement} */ (document.getElementById("add-key")), { once, changed: () => this.section.read() });
    this.parts.add.addEventListener("click", () => this.dialog.open());
    this.parts.add.disabled = false; // it does something from now on
  }

  /** @param {import("../overview.js").Overview} overview */
  hear(overview) {
    this.dialog.hear(overview);
  }

  /** @param {ApiKey[]} keys */
  draw(keys) {
    reconcile(
      this.parts.list,
      keys.toSorted((a, b) => b.created_at - a.created_at),
      (key) => key.key_id,
      (key) => this.row(key),
      ({ parts }, key) => draw(parts, key),
    );
    return keys.length;
  }

  /** @param {ApiKey} key */
  row({ key_id: id, name, created_by: by }) {
    const { root, parts } = stamp("key-row");
    const deed = new Deed(parts.revoke, {
      question: () =>
        by === REGISTRY
          ? t("Revoke “{name}”? The commands on that machine (./fogline user, status …) are refused until its registry starts again.", { name })
          : t("Revoke “{name}”? What uses it is cut off at once; this cannot be undone.", { name }),
      act: async () => {
        await revokeKey(id);
        note(t("“{name}” is revoked.", { name }));
        this.section.read();
      },
    });
    setAttribute(deed.parts.ask, "aria-label", t("Revoke “{name}”", { name }));
    return { root, parts };
  }
}

/** @param {import("../dom.js").Parts} parts @param {ApiKey} key */
function draw(parts, key) {
  const { expires_at: end, last_used: used } = key;
  const over = Boolean(end) && Number(end) < Date.now() / 1000;
  setText(parts.name, key.name);
  setText(parts.scopes, key.scopes.join(", "));
  setText(parts.made, t("{time} by {name}", { time: ago(key.created_at), name: key.created_by }));
  setAttribute(parts.made, "title", whole(key.created_at));
  show(parts.expired, over);
  show(parts.expires, !over);
  setText(parts.expires, end ? t("in {time}", { time: until(end) }) : t("never"));
  setAttribute(parts.expires, "title", end ? whole(end) : "");
  setText(parts.used, used ? joined([ago(used), key.last_address && t("from {address}", { address: key.last_address })]) : t("never"));
  setAttribute(parts.used, "title", used ? whole(used) : "");
}
