"""The picture that stands where a camera's picture should be: it says what is wrong instead of hanging.

Only the two nodes that make pictures use this: Pillow is loaded with the first placard, so that the registry and the
dashboard need none.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from mesh.fonts import font_for
from mesh.frame import Frame

if TYPE_CHECKING:
    from PIL import ImageDraw

    from mesh.fonts import Font

WIDTH, HEIGHT = 960, 540  # pixels: readable in a tile, small on the wire
_LEAST, _MOST = (320, 180), (1920, 1080)  # pixels: below the words cannot be read, above they gain nothing
_QUALITY = 85
_MOST_LINES, _MOST_LETTERS = 5, 400  # of the reason
_GROUND, _NAME, _SIGN, _WORDS, _QUIET = (22, 26, 32), (236, 239, 243), (240, 178, 84), (198, 204, 213), (132, 141, 154)


class Placard:
    """Draws the placards of one camera. The last one is kept, for the same is shown once a second. One thread."""

    def __init__(self, name: str) -> None:
        self._name = _drawable(name)
        self._drawn: tuple[tuple[object, ...], tuple[bytes, int, int]] | None = None

    def draw(
        self, reason: str, *, since: float | None = None, width: int | None = None, height: int | None = None
    ) -> tuple[bytes, int, int]:
        """A JPEG with the camera's name and the `reason`, and its width and height.

        since: Unix seconds since when there is no picture. width, height: of the camera's own frames, so that a page
        does not jump; the placard has their shape.
        """
        reason = _drawable(reason)
        key = (reason, since, width, height)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, _draw(self._name, reason, since, *_size(width, height))
        return self._drawn[1]


def no_signal_frame(name: str, reason: str, sequence: int) -> Frame:
    """A frame that shows the camera's `name` and the `reason`, with `no_signal` set."""
    jpeg, width, height = Placard(name).draw(reason)
    return Frame(jpeg=jpeg, sequence=sequence, captured_at=time.time(), width=width, height=height, no_signal=reason)


def _drawable(text: str) -> str:
    """`text` without what no font draws (line breaks, control characters, halves of characters), and not endless."""
    plain = "".join(c if c.isprintable() else " " for c in text[: _MOST_LETTERS + 1])
    return plain if len(plain) <= _MOST_LETTERS else plain[:_MOST_LETTERS] + "…"


def _size(width: int | None, height: int | None) -> tuple[int, int]:
    if not width or not height:
        return WIDTH, HEIGHT
    scale = min(1.0, _MOST[0] / width, _MOST[1] / height)
    return max(_LEAST[0], round(width * scale)), max(_LEAST[1], round(height * scale))


def _draw(name: str, reason: str, since: float | None, width: int, height: int) -> tuple[bytes, int, int]:
    from PIL import Image, ImageDraw  # noqa: PLC0415

    image = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(image)
    unit = min(width / 16, height / 9)  # everything is measured in these, so that any size looks the same
    left, room = 1.5 * unit, width - 2.5 * unit
    words = font_for(reason, round(0.44 * unit))
    lines = _wrapped(draw, reason, words, room)
    tall = (2.65 + 0.62 * len(lines)) * unit
    at = (height - tall) / 2
    draw.rounded_rectangle((unit, at, 1.12 * unit, at + tall), radius=0.06 * unit, fill=_SIGN)

    title = font_for(name, round(0.8 * unit))
    draw.text((left, at), _shortened(draw, name, title, room), font=title, fill=_NAME)
    at += 1.15 * unit
    draw.text((left, at), "No signal", font=font_for("", round(0.52 * unit)), fill=_SIGN)
    at += 0.95 * unit
    for line in lines:
        draw.text((left, at), line, font=words, fill=_WORDS)
        at += 0.62 * unit
    note = "trying again"
    if since is not None:
        note = f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(since))} · {note}"
    draw.text((left, at + 0.12 * unit), note, font=font_for("", round(0.34 * unit)), fill=_QUIET)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue(), width, height


def _shortened(draw: ImageDraw.ImageDraw, text: str, font: Font, room: float) -> str:
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…"


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: Font, room: float) -> list[str]:
    """`text` in lines that fit into `room` pixels, broken between words, or within one that is too long or that is
    written without spaces."""
    lines: list[str] = []
    line = ""
    for word in " ".join(text.split()).split(" "):
        rest = word
        joined = f"{line} {rest}" if line else rest
        if draw.textlength(joined, font=font) <= room:
            line = joined
            continue
        if line and draw.textlength(rest, font=font) <= room:
            lines.append(line)
            line = rest
            continue
        line = f"{line} " if line else ""
        for letter in rest:
            if draw.textlength(line + letter, font=font) > room:
                lines.append(line)
                line = ""
            line += letter
    lines.append(line)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], _shortened(draw, lines[_MOST_LINES - 1] + " …", font, room)]
    return lines
