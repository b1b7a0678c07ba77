/** The audit: who did what from where, newest first; older entries come when they are asked for. */

import { getAudit } from "./access/calls.js";
import { showBanner } from "./banner.js";
import { partsOf, say, setAttribute, setText, show, stamp } from "./dom.js";
import { language, n, t } from "./i18n.js";
import { reconcile } from "./keyed.js";
import "./keys.js";
import { watchOverview } from "./overview.js";
import { paint } from "./state.js";
import { clock, sentence, whole } from "./words.js";

/** @typedef {import("./access/calls.js").AuditEntry} AuditEntry */

const PERIOD = 10_000; // ms between two looks at what is new

const parts = partsOf(/** @type {HTMLElement} */ (document.getElementById("audit")));
const search = /** @type {HTMLInputElement} */ (document.getElementById("search"));

/** @type {AuditEntry[]} newest first */
let entries = [];
/** @type {string | null} for the entries before those that are loaded */
let cursor = null;
let known = false;
let reading = false;

/** @param {AuditEntry} entry */
const wordsOf = (entry) => [whole(entry.at), entry.who, entry.address, entry.action, entry.subject, entry.outcome].join("\n").toLocaleLowerCase();

function draw() {
  const wanted = search.value.trim().toLocaleLowerCase().split(/\s+/);
  const found = entries.filter((entry) => wanted.every((word) => wordsOf(entry).includes(word)));
  reconcile(parts.list, found, (entry) => entry.entry_id, row, () => {});
  show(parts.table, found.length > 0);
  show(parts.empty, known && entries.length === 0);
  const older = cursor !== null;
  say(
    parts.unfound,
    entries.length && !found.length
      ? older
        ? t("Nothing of what is loaded matches; older entries may.")
        : t("Nothing matches.")
      : null,
  );
  show(parts.more, older);
  const loaded = n(entries.length, "{n} entry", "{n} entries");
  setText(parts.count, !entries.length ? "" : found.length < entries.length ? t("{n} of {all} loaded", { n: found.length.toLocaleString(language), all: loaded }) : t("{all} loaded", { all: loaded }));
}

/** An entry never changes. @param {AuditEntry} entry */
function row(entry) {
  const { root, parts: own } = stamp("audit-row");
  setText(own.time, clock(entry.at));
  setAttribute(own.time, "datetime", new Date(entry.at * 1000).toISOString());
  setAttribute(own.time, "title", whole(entry.at));
  setText(own.who, entry.who);
  setText(own.from, entry.address);
  setText(own.action, entry.action);
  setText(own.subject, entry.subject);
  const ok = entry.outcome === "ok";
  paint(own.state, own.outcome, { word: ok ? t("Done") : sentence(entry.outcome), tone: ok ? "ok" : "warn", reason: "" });
  return { root };
}

/** @param {() => Promise<void>} act */
async function read(act) {
  if (reading) return;
  reading = true;
  parts.more.disabled = true;
  try {
    await act();
    known = true;
    say(parts.problem, null);
  } catch (error) {
    say(parts.problem, `${sentence(/** @type {Error} */ (error).message)}.`);
  }
  show(parts.waiting, false);
  parts.more.disabled = false;
  reading = false;
  draw();
}

/** What is new goes on top. Where more is new than one page has, the list begins anew: it has no gaps. */
async function newest() {
  const page = await getAudit();
  const seen = new Set(entries.map((entry) => entry.entry_id));
  const fresh = page.entries.filter((entry) => !seen.has(entry.entry_id));
  if (entries.length && fresh.length < page.entries.length) entries = [...fresh, ...entries];
  else if (fresh.length) {
    entries = page.entries;
    cursor = page.next_cursor;
  }
}

async function older() {
  const page = await getAudit(cursor ?? undefined);
  entries = [...entries, ...page.entries];
  cursor = page.next_cursor;
}

const look = () => document.hidden || read(newest);

parts.more.addEventListener("click", async () => {
  await read(older);
  if (document.activeElement === document.body) parts.more.focus(); // a button that is disabled loses it
});
search.addEventListener("input", draw);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  search.value = "";
  draw();
});
setText(/** @type {HTMLElement} */ (document.getElementById("zone")), t("Times are of the zone {zone}.", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone }));
watchOverview(showBanner);
look();
window.setInterval(look, PERIOD);
document.addEventListener("visibilitychange", look);
