/** The nodes page: the computers of the mesh, what runs where, and what they can do. */

import { Algorithms } from "./algorithms.js";
import { showBanner } from "./banner.js";
import "./keys.js";
import { Nodes, ordered } from "./nodes.js";
import { CameraNodes } from "./nodes/cameras.js";
import { Gone } from "./nodes/gone.js";
import { Hosts } from "./nodes/hosts.js";
import { addressFor, Joining } from "./nodes/joining.js";
import { Matrix } from "./nodes/matrix.js";
import { isCamera, nameOf, Placements } from "./nodes/placements.js";
import { Search } from "./nodes/search.js";
import { Target } from "./nodes/target.js";
import { Totals } from "./nodes/totals.js";
import { watchOverview } from "./overview.js";

/** @param {string} id */
const section = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const field = /** @type {HTMLInputElement} */ (document.getElementById("search"));
const parts = {
  totals: new Totals(section("totals")),
  nodes: new Nodes(section("nodes")),
  matrix: new Matrix(section("matrix")),
  algorithms: new Algorithms(section("algorithms")),
  hosts: new Hosts(section("hosts")),
  cameras: new CameraNodes(section("camera-nodes")),
  gone: new Gone(section("gone")),
  joining: new Joining(section("join")),
};
const target = new Target();
/** @type {import("./overview.js").Overview | null} */
let overview = null;

function render() {
  if (!overview) return;
  const search = new Search(field.value);
  const placements = new Placements(overview.sessions);
  const registry = addressFor(overview.registry.url, window.location.hostname);
  const find = (/** @type {any[]} */ nodes) => nodes.filter((node) => search.findsNode(node, placements.at(node.node_id)));
  const there = overview.nodes.filter((node) => node.state !== "dead");
  const gone = overview.nodes.filter((node) => node.state === "dead");
  const nodes = there.filter((node) => node.kind === "compute");
  const cameras = ordered(there.filter(isCamera));
  const hosting = there.filter((node) => node.hosting > 0);
  const found = { nodes: find(nodes), cameras: find(cameras) };

  parts.totals.render(overview, { nodes, cameras, gone, placements });
  parts.nodes.render(overview, { nodes, found: found.nodes, placements, registry });
  // What is looked for may be a camera or a node: the side on which nothing is found stays whole.
  const either = found.nodes.length > 0 || found.cameras.length > 0;
  parts.matrix.render({
    cameras: !either ? [] : byName(found.cameras.length ? found.cameras : cameras),
    nodes: !either ? [] : byName(found.nodes.length ? found.nodes : nodes).filter((node) => !node.original),
    placements,
    whole: !search.on,
    away: overview.stale,
  });
  parts.algorithms.render(overview, search);
  parts.hosts.render(overview, { all: hosting, found: find(hosting) });
  const hosts = new Map(hosting.map((node) => [node.node_id, nameOf(node)]));
  parts.cameras.render(overview, { all: cameras, found: found.cameras, registry, hosts });
  parts.gone.render(overview, find(gone));
  parts.joining.render(registry);
}

/** The matrix keeps its order whatever happens: people know where to look. @param {any[]} nodes */
function byName(nodes) {
  return [...nodes].sort((a, b) => collator.compare(nameOf(a), nameOf(b)));
}

const collator = new Intl.Collator(undefined, { numeric: true });

/** Lists that change their order take the focus from what they move; it is given back. */
function renderKeepingFocus() {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  render();
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

field.addEventListener("input", render);
watchOverview((news) => {
  overview = news;
  showBanner(news);
  renderKeepingFocus();
  if (news.known) target.show();
});
