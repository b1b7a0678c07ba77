"""Fonts for any script, for words that are drawn into pictures. Pillow is loaded with the first one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Where systems keep fonts that know more than Latin letters, broadest first. Pillow's own font is the last resort.
_FONTS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-vf-fonts/NotoSansCJK-VF.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/unifont/unifont.ttf",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
)


def font_for(text: str, size: int) -> Font:
    """A font of `size` pixels that knows all of `text`, or the most of it."""
    from PIL import ImageFont  # noqa: PLC0415

    size = max(8, size)
    own = ImageFont.load_default(size)
    if text.isascii():
        return own
    best, least = own, _unknown(own, text)
    for path in _FONTS:
        if least == 0:
            break
        font = _load(path, size)
        if font is not None and (unknown := _unknown(font, text)) < least:
            best, least = font, unknown
    return best


@cache
def _load(path: str, size: int) -> ImageFont.FreeTypeFont | None:
    from PIL import ImageFont  # noqa: PLC0415

    try:
        return ImageFont.truetype(path, size) if Path(path).exists() else None
    except OSError:
        return None  # a broken font file: another one will do


def _unknown(font: Font, text: str) -> int:
    """How many characters of `text` the font shows as its empty box."""
    box = bytes(font.getmask("\U0010fffe"))
    return sum(not c.isspace() and bytes(font.getmask(c)) == box for c in set(text))
