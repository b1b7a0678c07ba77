"""The picture that stands where a camera's picture should be: it says what is wrong instead of hanging."""

from __future__ import annotations

import io
import textwrap
import time

from mesh.frame import Frame

WIDTH, HEIGHT = 960, 540  # pixels: readable in a tile, small on the wire


def no_signal_frame(name: str, reason: str, sequence: int) -> Frame:
    """A frame that shows the camera's `name` and the `reason`, with `no_signal` set."""
    # Pillow is only needed where pictures are: the registry and the dashboard never load it.
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    now = time.time()
    image = Image.new("RGB", (WIDTH, HEIGHT), (24, 28, 34))
    draw = ImageDraw.Draw(image)
    draw.text((60, 150), name, font=ImageFont.load_default(44), fill=(235, 238, 242))
    draw.text((60, 215), "No signal", font=ImageFont.load_default(30), fill=(240, 180, 90))
    for line, words in enumerate(textwrap.wrap(reason, 58)[:5]):
        draw.text((60, 275 + 36 * line), words, font=ImageFont.load_default(26), fill=(170, 178, 190))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return Frame(jpeg=out.getvalue(), sequence=sequence, captured_at=now, width=WIDTH, height=HEIGHT, no_signal=reason)
