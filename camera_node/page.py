"""The page of one camera, for somebody who opens its address in a browser."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

_STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
img{display:block;width:100%;height:auto;background:#16191f;border-radius:.5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.5rem}dt{opacity:.7}dd{margin:0}
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is to be shown of a camera. live: it has pictures. more: by label; None is left out."""

    name: str
    live: bool
    more: dict[str, Any]


def page(camera: Facts) -> str:
    """The page. Its links are relative, for the camera may be at any path."""
    e = html.escape
    name = e(camera.name)
    facts = "".join(f"<dt>{e(label)}<dd>{e(str(value))}" for label, value in camera.more.items() if value is not None)
    picture = f"<img src=stream.jpg alt='Live picture of {name}'>" if camera.live else ""
    still = "<a href=image.jpg>One picture</a> · " if camera.live else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{name} · Fogline camera</title><link rel=icon href='data:,'><style>{_STYLE}</style><h1>{name}</h1>"
        f"{picture}<dl>{facts}</dl>"
        f"<p>{still}<a href=docs>The camera's calls</a> · <a href=metrics>Metrics</a></p>"
    )
