/** One's own account: the password, and where one is signed in. */

import { send } from "./asking.js";
import { call } from "./calls.js";
import { partsOf, say, setText } from "./dom.js";
import { n, t } from "./i18n.js";
import { leave } from "./leaving.js";

const page = /** @type {HTMLElement} */ (document.getElementById("account"));
const parts = partsOf(page);
const form = /** @type {HTMLFormElement} */ (parts.password);

async function count() {
  try {
    const me = await call("GET", "/api/me");
    const most = me.sign_ins ?? 1;
    setText(parts.count, n(most, "You are signed in here, and nowhere else.", "You are signed in at {n} places; this is one of them."));
  } catch {
    setText(parts.count, t("How many sign-ins you have is not known now."));
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say(parts.said, null);
  const values = Object.fromEntries(new FormData(form));
  if (values.new !== values.again) {
    say(parts.problem, t("The two passwords are not the same."));
    return;
  }
  const changed = await send("/api/me/password", { old: values.old, new: values.new }, { go: parts.change, problem: parts.problem });
  if (!changed) return;
  form.reset();
  say(parts.said, t("The password is changed. Sign-ins that you had elsewhere have ended."));
  for (const button of [parts.change, parts.out, parts.everywhere]) button.disabled = false; // now they do what they say
count();
});

parts.out.addEventListener("click", () => leave("/api/sign-out", "POST", parts.out, (words) => say(parts.refusal, words)));
parts.everywhere.addEventListener("click", () =>
  leave("/api/me/sign-ins", "DELETE", parts.everywhere, (words) => say(parts.refusal, words)),
);

for (const button of [parts.change, parts.out, parts.everywhere]) button.disabled = false; // now they do what they say
count();
