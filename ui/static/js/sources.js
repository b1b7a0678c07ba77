/** The cameras page: what cameras there are, and adding, changing and removing them. */

import { showBanner } from "./banner.js";
import { t } from "./i18n.js";
import "./keys.js";
import { can } from "./me.js";
import { note } from "./notes.js";
import { watchOverview } from "./overview.js";
import { CameraDialog } from "./sources/dialog.js";
import { SourceList } from "./sources/list.js";
import { Removal } from "./sources/removal.js";

const ADD = "#add"; // opens the dialog, for links from other pages

/** @param {string} id */
const dialogOf = (id) => /** @type {HTMLDialogElement} */ (document.getElementById(id));

/** @type {import("./overview.js").Overview} */
let newest;
const dialog = new CameraDialog(dialogOf("add"), () => {
  if (window.location.hash === ADD) window.history.replaceState(null, "", window.location.pathname);
});
const removal = new Removal(dialogOf("remove"));
const list = new SourceList(/** @type {HTMLElement} */ (document.getElementById("sources")), {
  edit: (camera) => dialog.open(camera.added),
  remove: (camera) => removal.ask(camera, newest),
});
for (const part of ["add", "add-first"]) list.parts[part].addEventListener("click", () => dialog.open());

function openIfAsked() {
  if (window.location.hash !== ADD) return;
  if (can("operate")) dialog.open();
  else note(t("Adding cameras needs the role operator."), { tone: "warn" });
}

watchOverview((overview) => {
  newest = overview;
  showBanner(overview);
  list.render(overview);
  dialog.render(overview);
});
openIfAsked();
window.addEventListener("hashchange", openIfAsked);
