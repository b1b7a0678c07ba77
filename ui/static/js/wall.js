/** The wall: everything at a glance. */

import { Algorithms } from "./algorithms.js";
import { showBanner } from "./banner.js";
import { Cameras } from "./cameras.js";
import { setText } from "./dom.js";
import { Nodes, slotsOf, usable } from "./nodes.js";
import { watchOverview } from "./overview.js";
import { Running } from "./running.js";
import { StartDialog } from "./start.js";
import { joined, many } from "./words.js";

/** @param {string} id */
const section = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const dialog = new StartDialog(/** @type {HTMLDialogElement} */ (section("start")));
const running = new Running(section("running"), () => feed.refresh());
const cameras = new Cameras(section("cameras"), (camera) => dialog.open({ camera }));
const nodes = new Nodes(section("nodes"));
const algorithms = new Algorithms(section("algorithms"), (algorithm) => dialog.open({ algorithm }));

/** @param {import("./overview.js").Overview} overview */
function inNumbers(overview) {
  const alive = overview.nodes.filter((n) => n.state !== "dead");
  const slots = alive.filter((n) => n.kind === "compute" && usable(n)).map(slotsOf);
  const all = slots.reduce((sum, s) => sum + s.all, 0);
  const used = slots.reduce((sum, s) => sum + s.used, 0);
  if (!overview.known) return "";
  return joined([
    many(alive.filter((n) => n.kind === "camera").length, "camera"),
    many(alive.filter((n) => n.kind === "compute").length, "node"),
    all > 0 && `${used} of ${many(all, "slot")} in use`,
  ]);
}

const feed = watchOverview((overview) => {
  showBanner(overview);
  running.render(overview);
  cameras.render(overview);
  nodes.render(overview);
  algorithms.render(overview);
  dialog.render(overview);
  setText(section("sums"), inNumbers(overview));
  setText(section("registry-url"), `Registry ${overview.registry.url ?? ""}`);
});
