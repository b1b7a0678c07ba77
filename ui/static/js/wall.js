/** The wall: every camera and what is found on it, at a glance. */

import { showBanner } from "./banner.js";
import { partsOf, setText, show } from "./dom.js";
import { letDrag } from "./wall/drag.js";
import { t } from "./i18n.js";
import { onKey } from "./keys.js";
import { can } from "./me.js";
import { note } from "./notes.js";
import { LAYOUTS } from "./wall/layout.js";
import { watchOverview } from "./overview.js";
import { Palette } from "./wall/palette.js";
import { isReachable } from "./wall/places.js";
import { StartDialog } from "./wall/start.js";
import { beginAtOnce, end } from "./wall/starting.js";
import { Tiles } from "./wall/tiles.js";
import { whereToStart } from "./words.js";
import { at } from "./root.js";

const parts = partsOf(/** @type {HTMLElement} */ (document.getElementById("wall")));
const help = /** @type {HTMLDialogElement} */ (document.getElementById("keys"));
const search = /** @type {HTMLInputElement} */ (document.getElementById("search"));

const dialog = new StartDialog(/** @type {HTMLDialogElement} */ (document.getElementById("start")), (session) => {
  const place = tiles.places.find(({ session: one }) => one?.session_id === session.session_id);
  tiles.select(place?.key ?? String(session.camera), true);
});
const tiles = new Tiles(parts, {
  onStart: (place) => startOn(place),
  onStop: (place) => end(place),
  onScreen: (tile) => {
    tiles.select(tile.place.key, true);
    fullScreen(tile.root);
  },
});
const palette = new Palette(parts, tiles, {
  onChoice: ({ id }) => {
    const place = tiles.current?.place;
    dialog.open({ algorithm: String(id), camera: place && isReachable(place) ? String(place.camera.node_id) : undefined });
  },
  onDrop: (algorithm, { camera }) => beginAtOnce({ camera: String(camera.node_id), algorithm }),
});

/** @param {import("./wall/places.js").Place | undefined} place */
function startOn(place) {
  if (can("operate") && place && isReachable(place) && tiles.overview && !tiles.overview.stale) dialog.open({ camera: String(place.camera.node_id) });
}

/** @param {Element} element */
function fullScreen(element) {
  if (document.fullscreenElement) document.exitFullscreen();
  else element.requestFullscreen?.().catch(() => {}); // a browser may refuse; all stays as it is
}

// --- how many at once

/** @param {string} layout */
function choose(layout) {
  tiles.choose(layout);
  showLayout();
}

function showLayout() {
  for (const button of parts.layouts.children) button.setAttribute("aria-pressed", String(button.dataset.layout === tiles.layout));
}

for (const button of parts.layouts.children) button.addEventListener("click", () => choose(button.dataset.layout));
parts.whole.addEventListener("click", () => fullScreen(document.documentElement));
parts.keys.addEventListener("click", () => help.showModal());
help.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target);
  if (target === help || target.closest("button")) help.close();
});
document.addEventListener("fullscreenchange", () => {
  document.body.classList.toggle("whole", document.fullscreenElement === document.documentElement);
});

// --- searching

search.addEventListener("input", () => tiles.search(search.value));
search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    search.value = "";
    tiles.search("");
    tiles.select(tiles.selected, true);
  } else if (event.key === "Enter" || event.key === "ArrowDown") {
    event.preventDefault();
    tiles.select(tiles.selected, true);
  }
});

// --- keys

/** Whether a key belongs to what has the focus: Enter presses a button. @param {KeyboardEvent} event */
const isPressed = (event) => Boolean(/** @type {Element} */ (event.target).closest("a, button, summary, [role=button]"));

for (const [key, right, down] of /** @type {[string, number, number][]} */ ([
  ["ArrowLeft", -1, 0],
  ["ArrowRight", 1, 0],
  ["ArrowUp", 0, -1],
  ["ArrowDown", 0, 1],
])) {
  onKey(key, (event) => {
    event.preventDefault();
    if (event.shiftKey) tiles.shift(right, down);
    else tiles.step(right, down);
  });
}
for (const [index, key] of ["1", "4", "9", "6", "a"].entries()) onKey(key, () => choose(LAYOUTS[index]));
onKey("PageDown", () => tiles.turn(1));
onKey("PageUp", () => tiles.turn(-1));
onKey("s", (event) => {
  event.preventDefault();
  startOn(tiles.current?.place);
});
onKey("Enter", (event) => {
  const place = tiles.current?.place;
  if (!place || isPressed(event)) return;
  event.preventDefault();
  if (place.session) window.location.assign(at(`/s/${encodeURIComponent(place.session.session_id)}`));
  else startOn(place);
});
onKey("f", () => tiles.current && fullScreen(tiles.current.root));
onKey("F", () => fullScreen(document.documentElement));
onKey("?", () => help.showModal());

// --- all of it

/** Another page may send people here to start something: `/?start=CAMERA&node=NODE`, `/?algorithm=ID`. */
function startAsAsked() {
  const asked = new URLSearchParams(window.location.search);
  const camera = asked.get("start") ?? undefined;
  const algorithm = asked.get("algorithm") ?? undefined;
  if (!camera && !algorithm) return;
  window.history.replaceState(null, "", at("/")); // reloading the page is no new wish
  if (can("operate")) dialog.open({ camera, algorithm, node: asked.get("node") ?? undefined });
  else note(t("Starting an algorithm needs the role operator."), { tone: "warn" });
}

let asked = false;
showLayout();
letDrag(tiles);
watchOverview((overview) => {
  showBanner(overview);
  tiles.render(overview);
  palette.render(overview);
  dialog.render(overview);
  if (!asked && overview.known && !overview.stale && overview.algorithms.length) {
    asked = true;
    startAsAsked();
  }
  const none = tiles.places.length === 0;
  show(parts.waiting, !overview.known && (overview.registry.ok || Boolean(overview.first)));
  show(parts.empty, overview.known && none);
  if (overview.known && none) {
    setText(parts.registry, overview.registry.url ?? "http://HOST:5050");
    setText(parts.where, whereToStart(overview.registry.url ?? ""));
  }
});
