/** The dialog in which an API key is made, and the lines that use it. */

import { partsOf, say } from "../dom.js";
import { t } from "../i18n.js";
import { at } from "../root.js";
import { sentence } from "../words.js";
import { makeKey } from "./calls.js";

/** @typedef {import("./calls.js").Scope} Scope */

const PLACE = "SESSION"; // where a session's id goes, while none runs

/** The dashboard as programs address it. */
const ROOT = window.location.origin + at("");

/**
 * Three ways to use it, ready to be copied.
 * @param {string} secret
 * @param {string} session the id of one
 */
export function linesFor(secret, session) {
  const stream = `${ROOT}/sessions/${session}/stream`;
  const withKey = stream.replace("://", `://key:${secret}@`);
  return [
    { name: t("The key"), text: secret },
    { name: t("curl: the newest picture"), text: `curl -L -H "Authorization: Bearer ${secret}" -o snapshot.jpg ${ROOT}/sessions/${session}/snapshot` },
    { name: t("VLC, ffplay, OpenCV: the stream"), text: withKey },
    {
      name: t("Python: what is found, as it is found"),
      text: `python3 -c 'import requests; [print(line.decode()) for line in requests.get("${ROOT}/sessions/${session}/detections", headers={"Authorization": "Bearer ${secret}"}, stream=True).iter_lines() if line]'`,
    },
  ];
}

export class KeyDialog {
  /** @param {HTMLDialogElement} dialog @param {{once: import("./once.js").Once, changed: () => void}} told */
  constructor(dialog, told) {
    this.dialog = dialog;
    this.told = told;
    this.parts = partsOf(dialog);
    this.session = PLACE;
    /** @type {HTMLInputElement[]} */
    this.scopes = [...this.parts.scopes.querySelectorAll("input")];
    for (const part of ["close", "cancel"]) this.parts[part].addEventListener("click", () => dialog.close());
    this.parts.scopes.addEventListener("change", () => this.draw());
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.make();
    });
  }

  open() {
    this.parts.name.value = "";
    for (const one of this.scopes) one.checked = one.value === "view";
    say(this.parts.problem, null);
    this.draw();
    this.dialog.showModal();
    this.parts.name.focus();
  }

  /** An admin's key may all the rest. */
  draw() {
    const admin = this.scopes.find((one) => one.value === "admin")?.checked ?? false;
    for (const one of this.scopes) {
      if (one.value === "admin") continue;
      one.disabled = admin;
      if (admin) one.checked = true;
    }
    this.parts.go.disabled = !this.scopes.some((one) => one.checked);
  }

  async make() {
    const { parts, told } = this;
    const name = parts.name.value.trim();
    const scopes = /** @type {Scope[]} */ (this.scopes.filter((one) => one.checked).map((one) => one.value));
    const expires = Number(parts.expires.value);
    parts.go.disabled = true;
    say(parts.problem, null);
    try {
      const { secret } = await makeKey({ name, scopes, ...(expires ? { expires_in: expires } : {}) });
      this.dialog.close();
      told.changed();
      const words =
        this.session === PLACE
          ? t("Put a session's id in place of {place}: it stands in the address of the session's page.", { place: PLACE })
          : t("The lines below use a session that runs now.");
      told.once.tell({ title: t("Key for {name}", { name }), words: scopes.includes("view") ? words : "", lines: linesFor(secret, this.session).slice(0, scopes.includes("view") ? 4 : 1) });
    } catch (error) {
      say(parts.problem, `${sentence(/** @type {Error} */ (error).message)}.`);
    }
    this.draw();
  }

  /** @param {import("../overview.js").Overview} overview */
  hear({ sessions }) {
    this.session = encodeURIComponent(sessions.find((one) => one.state === "running")?.session_id ?? PLACE);
  }
}
