/** One session: its live picture, its numbers, and what it finds. */

import { showBanner } from "./banner.js";
import { getSession, moveSession, startSession, stopSession } from "./calls.js";
import { partsOf, say, setAttribute, setText, show } from "./dom.js";
import { showFound } from "./found.js";
import { LiveStream } from "./livestream.js";
import { Meter } from "./meter.js";
import { lastMove, showMove, tellMove } from "./moves.js";
import { watchOverview } from "./overview.js";
import { Overlay } from "./overlay.js";
import { listPrograms } from "./programs.js";
import { ofSession, paint } from "./state.js";
import { watchStats } from "./stats.js";
import { joined, rate, sentence } from "./words.js";

const DRAW = 250; // ms between two drawings of the numbers: they change with every frame
const COVER = 400; // ms without pictures after which the page says so: a planned move is over before
const LATE = 3000; // ms for which a list may be older than what this page has been told of a move

const root = /** @type {HTMLElement} */ (document.getElementById("session"));
const parts = partsOf(root);
const ended = /** @type {HTMLElement} */ (document.getElementById("ended"));
const id = String(root.dataset.session);
const meter = new Meter();
const overlay = new Overlay(parts.boxes);
const OVERLAY = "fogline.overlay"; // whether this browser draws boxes itself
let cameraStream = "";
/** @type {import("./livestream.js").Detections | null} */
let newest = null;
/** @type {any} */
let session = null;
let over = false;
let asking = false;
let flowing = false;
let trouble = "";
let verdict = ""; // what the registry made of it that no pictures come
let what = "";
let covering = 0;
let movedAt = -LATE;
let lastNode = ""; // the name of the last node that served it
/** @type {import("./overview.js").Overview | null} */
let seen = null;

const stream = new LiveStream(parts.live, id, {
  onFrame(detections) {
    newest = detections;
    meter.add(detections);
    if (!parts.boxes.hidden) overlay.draw(detections);
  },
  onFlow() {
    flowing = true;
    trouble = verdict = "";
    window.clearTimeout(covering);
    covering = 0;
    paintState();
    show(parts.cover, false);
    parts.stage.classList.remove("old");
  },
  onTrouble(words) {
    meter.reset();
    newest = null;
    flowing = false;
    overlay.clear();
    trouble = words;
    covering ||= window.setTimeout(cover, COVER);
    if (!parts.cover.hidden) cover();
  },
  async onSilence() {
    const { token, node_name } = session ?? {};
    if (!token || !node_name) return;
    verdict = `Node ${node_name} gives no pictures; moving …`;
    cover();
    try {
      const found = await moveSession(id, token);
      if (found.token === session.token) verdict = `Node ${node_name} gives no pictures. ${sentence(String(found.outcome))}.`;
      else if (seen) draw(found, seen);
    } catch {
      verdict = ""; // the registry is away, and the banner says so: the node may come back by itself
    }
    if (!flowing) cover();
  },
});

/** Why there is no picture: the registry knows more than a broken connection tells. */
function cover() {
  const waits = session && !session.node;
  const reason = waits ? sentence(String(session.state_reason ?? "")) : "";
  setText(parts["cover-text"], (!reason && verdict) || `${reason || trouble}. Trying again …`);
  show(parts.cover, true);
  parts.stage.classList.add("old");
  paintState();
}

function drawNumbers() {
  if (document.hidden) return;
  const { fps, inference, latency } = meter;
  setText(parts.fps, fps === null ? "–" : rate(fps));
  setText(parts.inference, inference === null ? "–" : inference < 10 ? inference.toFixed(1) : String(Math.round(inference)));
  setText(parts.latency, latency === null ? "–" : String(Math.round(latency)));
  if (newest) {
    setText(parts.model, newest.model ?? "none");
    setText(parts.size, `${newest.frame.width} × ${newest.frame.height}`);
    root.classList.toggle("no-signal", Boolean(newest.no_signal));
  }
  showFound(parts, newest?.objects ?? []);
}

/** Pictures from the camera itself with boxes drawn here, or the node's own with boxes in them. */
function choosePictures() {
  const here = parts.overlay.checked && cameraStream !== "";
  show(parts.boxes, here);
  overlay.clear();
  stream.show(here ? cameraStream : `/sessions/${encodeURIComponent(id)}/stream`);
}

/** What the registry says of the session, corrected by what this browser sees of it. */
function paintState() {
  let standing = session ? ofSession(session) : { word: "Connecting", tone: /** @type {const} */ ("busy"), reason: "" };
  if (newest?.no_signal) standing = { word: "No signal", tone: "bad", reason: newest.no_signal };
  else if (standing.tone === "busy" && flowing) standing = { word: "Live", tone: "ok", reason: "" };
  else if (standing.tone === "ok" && !flowing) standing = { word: "Connecting", tone: "busy", reason: "" };
  paint(parts.state, parts.word, standing);
  show(parts.state, true);
  setAttribute(parts.state, "title", standing.reason);
  return standing;
}

/** @param {any} found @param {import("./overview.js").Overview} overview */
function draw(found, overview) {
  if (session && found.token < session.token && performance.now() - movedAt < LATE) return;
  const before = session;
  const moved = before !== null && found.token !== before.token;
  session = found;
  if (moved) {
    movedAt = performance.now();
    if (lastNode && found.node_name && found.node_name !== lastNode) {
      tellMove(parts.moved, { from: lastNode, to: found.node_name, at: found.changed_at ?? overview.now });
    }
  } else if (!before) {
    getSession(id).then(({ history }) => showMove(parts.moved, lastMove(history))).catch(() => {}); // it is a nicety
  }
  lastNode = found.node_name ?? lastNode;
  // When the last node that offered it has gone, the name that it gave stays.
  what = String((overview.algorithms.find((a) => a.id === found.algorithm)?.name ?? what) || found.algorithm);
  const camera = String(found.camera_name ?? found.camera);
  setText(parts.algorithm, what);
  setText(parts.camera, camera);
  show(parts.on, true);
  setAttribute(parts.live, "alt", `What ${what} finds on ${camera}, live`);
  document.title = `${what} on ${camera} · Fogline`;
  const standing = paintState();
  setText(parts.node, found.node_name ?? "none yet");
  say(parts.why, joined([found.why && sentence(found.why), standing.reason && sentence(standing.reason)]));
  parts.stop.disabled = overview.stale;
  const camera_url = overview.nodes.find((n) => n.node_id === found.camera)?.url;
  const address = camera_url ? `${camera_url}/stream.jpg` : "";
  if (address !== cameraStream) {
    cameraStream = address;
    choosePictures();
  }
  parts.overlay.disabled = !address;
  if (moved) stream.moved();
  else if (!parts.cover.hidden && trouble) cover();
}

/** The list has it no longer: the registry says why. */
async function findOut() {
  if (asking) return;
  asking = true;
  try {
    const found = await getSession(id);
    if (found.state === "ended") showEnded(found, String(found.state_reason ?? ""));
  } catch (error) {
    const { status, message } = /** @type {import("./calls.js").Refused} */ (error);
    if (status === 404) showEnded(session, session ? "" : message);
  }
  asking = false;
}

/** @param {any} last @param {string} reason */
function showEnded(last, reason) {
  over = true;
  stream.stop();
  const { title, reason: words, again, problem } = partsOf(ended);
  setText(title, last ? "This session has ended" : "There is no such session");
  setText(words, reason ? `${sentence(reason)}.` : "");
  show(root, false);
  show(ended, true);
  if (!last) return;
  setText(title, `${last.algorithm} on ${last.camera_name ?? last.camera} has ended`);
  show(again, true);
  again.addEventListener("click", async () => {
    again.disabled = true;
    say(problem, null);
    try {
      const made = await startSession({ camera: last.camera, algorithm: last.algorithm });
      window.location.assign(`/s/${encodeURIComponent(made.session_id)}`);
    } catch (error) {
      say(problem, sentence(/** @type {Error} */ (error).message));
      again.disabled = false;
    }
  });
  again.focus();
}

async function stop() {
  parts.stop.disabled = true;
  try {
    await stopSession(id);
    stream.stop();
    window.location.assign("/");
  } catch (error) {
    say(parts.why, sentence(/** @type {Error} */ (error).message));
    parts.stop.disabled = false;
  }
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else parts.stage.requestFullscreen?.().catch(() => {}); // a browser may refuse; the picture stays as it is
}

parts.stop.addEventListener("click", stop);
parts.screen.addEventListener("click", fullScreen);
try {
  parts.overlay.checked = localStorage.getItem(OVERLAY) === "yes";
} catch {
  // Then the node draws.
}
parts.overlay.addEventListener("change", () => {
  try {
    localStorage.setItem(OVERLAY, parts.overlay.checked ? "yes" : "no");
  } catch {
    // Then it is chosen anew next time.
  }
  choosePictures();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "f" && !event.ctrlKey && !event.metaKey && !event.altKey && !over) fullScreen();
});

listPrograms(parts.lines, id);
watchOverview((overview) => {
  showBanner(overview);
  if (over) return;
  seen = overview;
  const found = overview.sessions.find((s) => s.session_id === id);
  if (found && found.state !== "ended") draw(found, overview);
  else if (overview.known && !overview.stale && !overview.first) findOut();
});
stream.start();
watchStats(parts, id, () => !over);
window.setInterval(drawNumbers, DRAW);
