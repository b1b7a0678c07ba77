/** Lines with which other programs open a session, to copy. */

import { setAttribute, setText, show, speak, stamp } from "../dom.js";
import { t } from "../i18n.js";
import { locked } from "../me.js";
import { at } from "../root.js";

const SHOWN = 1500; // ms for which a copied line says so

/** @param {string} session @returns {[string, string][]} */
function lines(session) {
  const base = `${window.location.origin}${at(`/sessions/${encodeURIComponent(session)}`)}`;
  return [
    [t("Stream (MJPEG)"), `${base}/stream`],
    [t("Newest picture"), `${base}/snapshot`],
    [t("Detections (SSE)"), `${base}/detections`],
    [t("In a page"), `<img src="${base}/stream" alt="">`],
    [t("curl, newest picture"), `curl -L -o snapshot.jpg ${base}/snapshot`],
    [t("curl, detections"), `curl -NL ${base}/detections`],
    [t("Python, detections"), `python3 -c 'import requests; [print(line.decode()) for line in requests.get("${base}/detections", stream=True).iter_lines() if line]'`],
    ["OpenCV", `cv2.VideoCapture("${base}/stream")`],
    ["VLC", `vlc ${base}/stream`],
    ["FFmpeg", `ffplay -fflags nobuffer ${base}/stream`],
  ];
}

/** @param {import("../dom.js").Parts} parts @param {string} session */
export function listPrograms(parts, session) {
  show(parts["key-hint"], locked);
  for (const [name, text] of lines(session)) {
    const { root, parts: line } = stamp("program-line");
    setText(line.name, name);
    setText(line.text, text);
    setAttribute(line.text, "aria-label", `${name}: ${text}`);
    setAttribute(line.copy, "aria-label", t("Copy: {name}", { name }));
    line.copy.addEventListener("click", async () => {
      const copied = await copy(text, line.text);
      speak(copied ? t("{name} copied", { name }) : t("Press Ctrl and C to copy"));
      root.classList.toggle("copied", copied);
      window.setTimeout(() => root.classList.remove("copied"), SHOWN);
    });
    parts.lines.append(root);
  }
}

/** Browsers give the clipboard to https and to this machine only; elsewhere the older way still works. */
async function copy(/** @type {string} */ text, /** @type {HTMLElement} */ shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    window.getSelection()?.selectAllChildren(shown);
    return document.execCommand("copy");
  }
}
