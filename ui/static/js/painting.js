/** A canvas that shows JPEGs: decoded off the main thread, and nothing of a picture stays in memory after the next. */

export class Painting {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {ImageBitmapRenderingContext} */ (canvas.getContext("bitmaprenderer", { alpha: false }));
  }

  /**
   * Show `picture`, unless `signal` is aborted meanwhile. Throws for what is no picture.
   * @param {Blob | HTMLImageElement} picture
   * @param {AbortSignal} [signal]
   */
  async draw(picture, signal) {
    const bitmap = await createImageBitmap(picture);
    if (signal?.aborted) {
      bitmap.close();
      return;
    }
    const { canvas } = this;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    this.context.transferFromImageBitmap(bitmap);
  }
}
