/** The form in which a camera is added or changed: what is typed, what is wrong with it, and what it asks for. */

import { partsOf, say, setText } from "../dom.js";
import { t } from "../i18n.js";
import { sentence } from "../words.js";
import { hostOf, joinedUp, takenApart } from "./address.js";
import { camerasOf } from "./known.js";

const ANY = "";
const NUMBERS = /** @type {const} */ (["width", "height", "fps"]);
/** Where the problem of a field is said. @type {Record<string, string>} */
const PROBLEMS = { source: "source", name: "name", host: "host", width: "size", height: "size", fps: "size" };

/** @typedef {import("../overview.js").Overview} Overview */

export class CameraForm {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    this.parts = partsOf(form);
    /** @type {any} the camera that is changed; null while one is added */
    this.changing = null;
    this.suggested = "";
    /** @type {Set<string>} */
    this.taken = new Set(); // names
    this.drawn = ""; // the hosts to choose from
    const { parts } = this;
    parts.source.addEventListener("input", () => this.wrong("source", null));
    parts.source.addEventListener("change", () => this.tidy());
    parts.source.addEventListener("paste", () => window.setTimeout(() => this.tidy()));
    for (const field of ["name", "host", ...NUMBERS]) {
      parts[field].addEventListener("input", () => this.wrong(field, null));
    }
    parts.name.addEventListener("focus", () => {
      if (parts.name.value === this.suggested) parts.name.select(); // one key replaces a suggestion
    });
    parts.reveal.addEventListener("click", () => this.reveal(parts.password.type === "password"));
  }

  /** Begin anew. @param {any} camera as the registry lists it; null to add one @param {Overview} overview */
  fill(camera, overview) {
    const { parts } = this;
    this.form.reset();
    this.changing = camera;
    this.suggested = "";
    this.reveal(false);
    for (const field of Object.keys(PROBLEMS)) this.wrong(field, null);
    say(parts.problem, null);
    parts.more.open = false;
    setText(parts.title, camera ? t("Edit {name}", { name: camera.name }) : t("Add a camera"));
    for (const field of ["user", "password"]) parts[field].placeholder = camera ? t("unchanged") : "";
    this.hint(
      camera
        ? t("Shown without user, password and what follows a “?”. Leave it as it is, or type all of it anew.")
        : t("rtsp://, http:// or https://, as the camera's manual has it; demo: to try it without a camera."),
    );
    this.drawHosts(overview);
    if (!camera) return;
    parts.source.value = camera.source;
    parts.name.value = camera.name;
    parts.host.value = camera.host_wanted ?? ANY;
    for (const field of NUMBERS) parts[field].value = camera[field] ?? "";
    parts.verify.checked = camera.verify;
  }

  /** Keep nothing of what was typed. */
  clear() {
    this.form.reset();
    this.changing = null;
  }

  /** @param {Overview} overview */
  render(overview) {
    this.drawHosts(overview);
    this.taken = new Set(camerasOf(overview).map((one) => one.name));
  }

  /** Which hosts there are, and the one that the camera is bound to. @param {Overview} overview */
  drawHosts(overview) {
    const select = /** @type {HTMLSelectElement} */ (this.parts.host);
    const bound = this.changing?.host_wanted;
    const room = (/** @type {any} */ host) => host.capacity - host.running;
    const options = [[ANY, t("Any host with room"), false]];
    for (const host of overview.hosts) {
      const free = room(host);
      const words = free > 0 ? t("{name} ({n} free)", { name: host.name, n: free }) : t("{name} (full)", { name: host.name });
      options.push([host.node_id, words, free <= 0 && host.node_id !== bound]);
    }
    if (bound && !overview.hosts.some((host) => host.node_id === bound)) {
      const name = overview.nodes.find((node) => node.node_id === bound)?.name ?? bound;
      options.push([bound, t("{name} (away)", { name: String(name) }), false]);
    }
    if (JSON.stringify(options) === this.drawn) return;
    this.drawn = JSON.stringify(options);
    const { value } = select;
    select.replaceChildren(
      ...options.map(([id, words, disabled]) => {
        const option = new Option(String(words), String(id));
        option.disabled = Boolean(disabled);
        return option;
      }),
    );
    if (options.some(([id]) => id === value)) select.value = value;
  }

  // --- what is typed

  /** Put user and password where they belong, and a name where there is none. @param {boolean} [named] not the latter */
  tidy(named = false) {
    const { parts } = this;
    const { address, user, password } = takenApart(parts.source.value);
    if (parts.source.value !== address) parts.source.value = address;
    if (user || password) {
      parts.user.value = user;
      parts.password.value = password;
    }
    if (!named) this.suggest(address.startsWith("demo:") ? t("Demo camera") : hostOf(address));
  }

  /** A name, unless somebody typed one. @param {string} name */
  suggest(name) {
    const field = this.parts.name;
    if (!name || this.changing || (field.value && field.value !== this.suggested)) return;
    let free = name;
    for (let number = 2; this.taken.has(free); number += 1) free = `${name} ${number}`;
    field.value = this.suggested = free;
    this.wrong("name", null);
  }

  /** @param {import("./candidates.js").Candidate} candidate */
  pick({ name, address }) {
    const { parts } = this;
    parts.source.value = `rtsp://${address}:554/`;
    this.wrong("source", null);
    this.suggest(name);
    this.hint(
      t(
        "It said where it is, not where its stream is: add the path from its manual, such as /Streaming/Channels/101 (Hikvision), /cam/realmonitor?channel=1&subtype=0 (Dahua), /axis-media/media.amp (Axis).",
      ),
    );
    parts.source.focus();
  }

  /** @param {boolean} on */
  reveal(on) {
    const { password, reveal } = this.parts;
    password.type = on ? "text" : "password";
    reveal.setAttribute("aria-pressed", String(on));
    setText(reveal, on ? t("Hide") : t("Show"));
  }

  /** Whether another source than the present one is asked for. */
  get sourceChanged() {
    const { source, user, password } = this.parts;
    return source.value.trim() !== (this.changing?.source ?? "") || Boolean(user.value || password.value);
  }

  /** What is asked for. `source` is there only where it is not to stay. @returns {any} */
  wish() {
    const { source, user, password, name, host, verify } = this.parts;
    const numbers = NUMBERS.map((field) => [field, this.parts[field].value === "" ? null : Number(this.parts[field].value)]);
    return {
      name: name.value.trim(),
      ...(this.sourceChanged
        ? { source: joinedUp({ address: source.value.trim(), user: user.value, password: password.value }) }
        : {}),
      host: host.value || null,
      verify: verify.checked,
      ...Object.fromEntries(numbers),
    };
  }

  // --- what is wrong

  /** Whether it is worth asking; says what is missing. @param {boolean} [named] it is to have a name too */
  complete(named = true) {
    this.tidy(named);
    const { source, name } = this.parts;
    let missing = "";
    if (!source.value) missing = this.wrong("source", t("Type the camera's address, or pick one that is found."));
    else if (/\s/.test(source.value)) missing = this.wrong("source", t("An address has no spaces; write %20 for one."));
    else if (named && !name.value.trim()) missing = this.wrong("name", t("Give it a name by which people know the place."));
    if (missing) this.parts[missing].focus();
    return !missing;
  }

  /** Say what is wrong with a field; null for nothing. @param {string} field @param {string | null} words */
  wrong(field, words) {
    say(this.parts[`${PROBLEMS[field]}-problem`], words);
    if (words) this.parts[field].setAttribute("aria-invalid", "true");
    else this.parts[field].removeAttribute("aria-invalid");
    return field;
  }

  /** Show a refusal where it belongs. @param {unknown} error */
  refused(error) {
    const { message, field } = /** @type {import("../calls.js").Refused} */ (error);
    if (!field || !(field in PROBLEMS)) {
      say(this.parts.problem, sentence(message));
      return;
    }
    const words = message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
    if (PROBLEMS[field] === "size") this.parts.more.open = true;
    this.wrong(field, sentence(words));
    this.parts[field].focus();
  }

  /** @param {string} words */
  hint(words) {
    setText(this.parts["source-hint"], words);
  }
}
