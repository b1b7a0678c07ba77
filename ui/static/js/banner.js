/** The line under the header that says when what the page shows is not of this moment. */

import { t } from "./i18n.js";
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
    setText(what, overview.lost ? t("The dashboard's server does not answer.") : t("The registry is away."));
    setText(reason, overview.registry.reason ? `${sentence(overview.registry.reason)}.` : "");
    const seconds = Date.now() / 1000 - (overview.registry.since ?? Date.now() / 1000);
    setText(
      next,
      overview.known
        ? t("You see what was known {time} ago; streams that run go on. This page goes on by itself when it is back.", {
            time: duration(seconds),
          })
        : t("This page goes on by itself when it is there."),
    );
  }
  show(banner, away);
}
