/** The dialogs in which people are added and changed. */

import { partsOf, say, setText, show } from "../dom.js";
import { n, t } from "../i18n.js";
import { isMe } from "../me.js";
import { note } from "../notes.js";
import { at } from "../root.js";
import { sentence, until } from "../words.js";
import { addUser, changeUser, makeLink, removeUser, signOut } from "./calls.js";
import { Deed } from "./deed.js";

/** @typedef {import("./calls.js").User} User @typedef {import("./calls.js").Role} Role */
/** @typedef {{once: import("./once.js").Once, changed: () => void}} Told  changed: the list must be read again */

/** @param {HTMLDialogElement} dialog @param {string} name of its radio buttons @returns {HTMLInputElement[]} */
const radios = (dialog, name) => [...dialog.querySelectorAll(`input[name="${name}"]`)].map((one) => /** @type {HTMLInputElement} */ (one));

/** The link's whole address: the token is behind the #, which browsers send to no server. @param {string} token */
const addressOf = (token) => `${window.location.origin}${at("/setup")}#${token}`;

/** @param {Told} told @param {import("./calls.js").Link} link @param {string} title */
function showLink({ once }, link, title) {
  const words = t("With this link {name} chooses a password. It works once, for {time}. Hand it over where nobody else reads it.", {
    name: link.name,
    time: until(link.expires_at),
  });
  once.tell({ title, words, lines: [{ text: addressOf(link.token) }] });
}

export class AddPersonDialog {
  /** @param {HTMLDialogElement} dialog @param {Told} told */
  constructor(dialog, told) {
    this.dialog = dialog;
    this.told = told;
    this.parts = partsOf(dialog);
    for (const part of ["close", "cancel"]) this.parts[part].addEventListener("click", () => dialog.close());
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
  }

  /** @param {boolean} first nobody is there yet: an admin is needed first */
  open(first) {
    this.parts.name.value = "";
    for (const one of radios(this.dialog, "role")) one.checked = one.value === (first ? "admin" : "viewer");
    say(this.parts.problem, null);
    this.dialog.showModal();
    this.parts.name.focus();
  }

  async add() {
    const { parts, dialog, told } = this;
    const name = parts.name.value.trim();
    const role = /** @type {Role} */ (radios(dialog, "role").find((one) => one.checked)?.value ?? "viewer");
    parts.go.disabled = true;
    say(parts.problem, null);
    try {
      const { link } = await addUser({ name, role });
      dialog.close();
      told.changed();
      if (link) showLink(told, link, t("{name} is added", { name }));
    } catch (error) {
      say(parts.problem, `${sentence(/** @type {Error} */ (error).message)}.`);
    }
    parts.go.disabled = false;
  }
}

export class PersonDialog {
  /** @param {HTMLDialogElement} dialog @param {Told} told */
  constructor(dialog, told) {
    this.dialog = dialog;
    this.told = told;
    this.parts = partsOf(dialog);
    /** @type {User | null} */
    this.user = null;
    this.hindered = false;
    const { parts } = this;
    this.removal = new Deed(parts.remove, {
      question: () => t("Remove {name}? Sign-ins end at once, and this cannot be undone.", { name: this.user?.name ?? "" }),
      act: async () => {
        const name = this.user?.name ?? "";
        await removeUser(name);
        this.done(t("{name} is removed.", { name }));
      },
    });
    for (const part of ["close", "cancel"]) parts[part].addEventListener("click", () => dialog.close());
    parts.link.addEventListener("click", () => this.act((user) => this.link(user)));
    parts["sign-out"].addEventListener("click", () => this.act((user) => this.signOut(user)));
    parts.disable.addEventListener("click", () => this.act((user) => this.disable(user)));
    for (const one of radios(dialog, "person-role")) one.addEventListener("change", () => this.draw());
    dialog.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.act((user) => this.save(user));
    });
  }

  /** @param {User} user @param {string} hindrance why this one must stay as it is; empty when it need not */
  open(user, hindrance) {
    this.user = user;
    this.hindered = Boolean(hindrance);
    const { parts } = this;
    for (const one of radios(this.dialog, "person-role")) one.checked = one.value === user.role;
    setText(parts.title, user.name);
    say(parts.why, hindrance);
    say(parts.problem, null);
    this.removal.open(false);
    setText(
      parts["sign-ins"],
      user.sign_ins ? n(user.sign_ins, "Ends {n} sign-in, and what it shows.", "Ends {n} sign-ins, and what they show.") : t("Not signed in now."),
    );
    setText(parts["disable-title"], user.disabled ? t("Enable") : t("Disable"));
    setText(parts["disable-word"], user.disabled ? t("Enable") : t("Disable"));
    setText(parts["disable-note"], user.disabled ? t("May sign in again.") : t("Cannot sign in until enabled again; present sign-ins end."));
    this.draw();
    this.dialog.showModal();
    /** @type {HTMLElement} */ (this.dialog.querySelector(".body")).scrollTop = 0;
    parts.cancel.focus();
  }

  draw(busy = false) {
    const { parts, user, hindered } = this;
    if (!user) return;
    const myself = isMe(user.name);
    for (const one of radios(this.dialog, "person-role")) one.disabled = hindered && one.value !== user.role;
    const role = radios(this.dialog, "person-role").find((one) => one.checked)?.value;
    parts.go.disabled = busy || role === user.role;
    parts.link.disabled = busy;
    parts["sign-out"].disabled = busy || !user.sign_ins;
    parts.disable.disabled = busy || (hindered && !user.disabled) || myself;
    this.removal.parts.ask.disabled = busy || hindered || myself;
    if (myself && !hindered) say(parts.why, t("This is you: another admin can disable or remove you."));
  }

  /** @param {(user: User) => Promise<void>} deed */
  async act(deed) {
    if (!this.user) return;
    this.draw(true);
    say(this.parts.problem, null);
    try {
      await deed(this.user);
    } catch (error) {
      say(this.parts.problem, `${sentence(/** @type {Error} */ (error).message)}.`);
    }
    this.draw();
  }

  /** @param {string} words */
  done(words) {
    this.dialog.close();
    this.told.changed();
    note(words);
  }

  /** @param {User} user */
  async link({ name }) {
    const link = await makeLink(name);
    this.dialog.close();
    this.told.changed();
    showLink(this.told, link, t("New link for {name}", { name }));
  }

  /** @param {User} user */
  async signOut({ name }) {
    await signOut(name);
    this.done(t("{name} is signed out everywhere.", { name }));
  }

  /** @param {User} user */
  async disable({ name, disabled }) {
    await changeUser(name, { disabled: !disabled });
    this.done(disabled ? t("{name} may sign in again.", { name }) : t("{name} is disabled.", { name }));
  }

  /** @param {User} user */
  async save({ name }) {
    const role = /** @type {Role} */ (radios(this.dialog, "person-role").find((one) => one.checked)?.value);
    await changeUser(name, { role });
    this.done(t("{name} has the new role at once.", { name }));
  }
}
