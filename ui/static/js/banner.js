/** The line under the header that says when what the page shows is not of this moment. */

import { partsOf, setText, show } from "./dom.js";
import { duration, sentence } from "./words.js";

/** @param {import("./overview.js").Overview} overview */
export function showBanner(overview) {
  const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
  // The page is sent without waiting long for the registry; whether it is away shows with the next answer.
  const away = !overview.registry.ok && (overview.known || !overview.first);
  document.body.classList.toggle("stale", away);
  if (away) {
    const { what, reason, next } = partsOf(banner);
    setText(what, overview.lost ? "The dashboard is away." : "The registry is away.");
    setText(reason, `${sentence(overview.registry.reason ?? "no reason is known")}.`);
    const seconds = Date.now() / 1000 - (overview.registry.since ?? Date.now() / 1000);
    setText(
      next,
      overview.known
        ? `You see what was known ${duration(seconds)} ago; streams that run go on. This page goes on by itself when it is back.`
        : "This page goes on by itself when it is there.",
    );
  }
  show(banner, away);
}
