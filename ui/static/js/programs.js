/** Lines with which other programs open a session, to copy. */

import { setAttribute, setText, speak, stamp } from "./dom.js";

const SHOWN = 1500; // ms for which a copied line says so

/** @param {string} session @returns {[string, string][]} */
function lines(session) {
  const base = `${window.location.origin}/sessions/${encodeURIComponent(session)}`;
  return [
    ["Stream (MJPEG)", `${base}/stream`],
    ["Newest picture", `${base}/snapshot`],
    ["Detections (SSE)", `${base}/detections`],
    ["In a page", `<img src="${base}/stream" alt="">`],
    ["curl", `curl -L -o snapshot.jpg ${base}/snapshot`],
    ["curl, detections", `curl -NL ${base}/detections`],
    ["OpenCV", `cv2.VideoCapture("${base}/stream")`],
    ["VLC", `vlc ${base}/stream`],
  ];
}

/** @param {HTMLElement} container @param {string} session */
export function listPrograms(container, session) {
  for (const [name, text] of lines(session)) {
    const { root, parts } = stamp("program-line");
    setText(parts.name, name);
    setText(parts.text, text);
    setAttribute(parts.text, "aria-label", `${name}: ${text}`);
    setAttribute(parts.copy, "aria-label", `Copy: ${name}`);
    parts.copy.addEventListener("click", async () => {
      const copied = await copy(text, parts.text);
      speak(copied ? `${name} copied` : "Press Ctrl and C to copy");
      root.classList.toggle("copied", copied);
      window.setTimeout(() => root.classList.remove("copied"), SHOWN);
    });
    container.append(root);
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
