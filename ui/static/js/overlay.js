/** Boxes drawn by the browser over the camera's own stream: the node then makes no picture at all. */

import { setAttribute } from "./dom.js";
import { n } from "./i18n.js";

// The node's own colours, so that a label looks the same wherever it is drawn (compute_node/annotate.py).
const PALETTE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];
const DARK_INK = new Set(["#e69f00", "#56b4e9", "#f0e442", "#cc79a7"]);
const LABEL_LIMIT = 40; // characters: a long code must not cover the picture
const REFERENCE = 720; // pixels of the shorter side at which lines are 2 pixels wide

export class Overlay {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** @param {import("./livestream.js").Detections} detections */
  draw(detections) {
    const { canvas, context } = this;
    const { width, height } = detections.frame;
    // The canvas has the frame's pixels and is laid out like the picture: boxes need no arithmetic.
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    } else this.clear();
    const size = Math.max(0.5, Math.min(width, height) / REFERENCE);
    const pixels = Math.round(18 * size);
    const pad = Math.max(2, Math.round(3 * size));
    context.lineWidth = Math.max(1, Math.round(2 * size));
    context.font = `${pixels}px system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif`;
    context.textBaseline = "top";
    for (const { label, confidence, box } of detections.objects) {
      const [left, top, right, bottom] = box;
      const colour = PALETTE[crc32(label) % PALETTE.length];
      context.strokeStyle = context.fillStyle = colour;
      context.strokeRect(left, top, right - left, bottom - top);
      const name = label.length <= LABEL_LIMIT ? label : `${label.slice(0, LABEL_LIMIT - 1)}…`;
      const text = confidence >= 1 ? name : `${name} ${Math.round(confidence * 100)}%`;
      const wide = context.measureText(text).width + 2 * pad;
      const tall = pixels + 2 * pad;
      const x = Math.max(0, Math.min(left, width - wide));
      const y = top >= tall ? top - tall : Math.max(0, top);
      context.fillRect(x, y, wide, tall);
      context.fillStyle = DARK_INK.has(colour) ? "#000" : "#fff";
      context.fillText(text, x + pad, y + pad);
    }
    setAttribute(canvas, "aria-label", n(detections.objects.length, "{n} object found", "{n} objects found"));
  }
}

/** CRC-32 of a text's UTF-8 (the polynomial of zlib). @param {string} text */
function crc32(text) {
  let crc = ~0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
