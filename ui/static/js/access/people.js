/** Who can sign in, as what, and how that stands. */

import { partsOf, say, setAttribute, setText, show, stamp } from "../dom.js";
import { n, t } from "../i18n.js";
import { reconcile } from "../keyed.js";
import { isMe } from "../me.js";
import { ago, clock, duration, whole } from "../words.js";
import { getUsers } from "./calls.js";
import { PersonDialog, AddPersonDialog } from "./person_dialog.js";
import { Section } from "./section.js";

/** @typedef {import("./calls.js").User} User */

/** @type {Record<string, string>} */
const ROLES = { viewer: t("Viewer"), operator: t("Operator"), admin: t("Admin") };
const byName = new Intl.Collator(undefined, { numeric: true }).compare;

export class People {
  /** @param {HTMLElement} root @param {import("./once.js").Once} once */
  constructor(root, once) {
    this.parts = partsOf(root);
    /** @type {Section<User>} */
    this.section = new Section(root, { read: getUsers, draw: (users) => this.draw(users) });
    const told = { once, changed: () => this.section.read() };
    this.dialog = new PersonDialog(/** @type {HTMLDialogElement} */ (document.getElementById("person")), told);
    this.adding = new AddPersonDialog(/** @type {HTMLDialogElement} */ (document.getElementById("add-person")), told);
    this.parts.add.addEventListener("click", () => this.adding.open(this.section.known && !this.section.items.length));
    this.parts.add.disabled = false; // it does something from now on
  }

  /** @param {User[]} users */
  draw(users) {
    reconcile(
      this.parts.list,
      users.toSorted((a, b) => byName(a.name, b.name)),
      (user) => user.name,
      (user) => {
        const row = { ...stamp("person-row"), user };
        row.parts.change.addEventListener("click", () => this.dialog.open(row.user, hindrance(row.user, this.section.items)));
        return row;
      },
      (row, user) => {
        row.user = user;
        draw(row.parts, user);
      },
    );
    return users.length;
  }
}

/** @param {import("../dom.js").Parts} parts @param {User} user */
function draw(parts, user) {
  const now = Date.now() / 1000;
  const lockedOut = (user.locked_until ?? 0) > now;
  setText(parts.name, user.name);
  show(parts.you, isMe(user.name));
  setText(parts.role, ROLES[user.role] ?? user.role);
  setText(parts.last, user.last_sign_in ? ago(user.last_sign_in) : t("never"));
  setAttribute(parts.last, "title", user.last_sign_in ? whole(user.last_sign_in) : "");
  setText(parts.now, user.sign_ins ? n(user.sign_ins, "{n} time", "{n} times") : t("no"));
  show(parts.disabled, user.disabled);
  show(parts.pending, !user.disabled && user.link_pending);
  show(parts.locked, !user.disabled && lockedOut);
  show(parts.usual, !user.disabled && !lockedOut && !user.link_pending);
  say(
    parts["state-more"],
    lockedOut && !user.disabled
      ? t("Too many wrong passwords: until {time}, for {duration} more", { time: clock(user.locked_until ?? 0), duration: duration((user.locked_until ?? 0) - now) })
      : user.link_pending && !user.disabled
        ? t("The one-time link was not used yet")
        : null,
  );
  setAttribute(parts.change, "aria-label", t("Change {name}", { name: user.name }));
}

/**
 * Why somebody cannot go: the mesh is never left without an admin who can sign in, and nobody removes themselves.
 * @param {User} user @param {User[]} all
 */
function hindrance(user, all) {
  const admins = all.filter((one) => one.role === "admin" && !one.disabled && (one.last_sign_in || one.sign_ins || !one.link_pending));
  if (admins.length === 1 && admins[0].name === user.name) {
    return t("{name} is the only admin who can sign in, and so can neither be removed nor disabled nor become something else. Make somebody else an admin first.", { name: user.name });
  }
  return "";
}
