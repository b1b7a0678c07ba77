"""Words that run where a page takes them for markup, and a browser that tells when one has.

Each word has a mark of its own, so that what a page shows says from where it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

from tests.calm import browsing

AWAY = "http://evil.invalid/"
# Without < and >, as names may be: attributes, templates, addresses, entities, letters that become < when normalised.
PLAIN = (
    "\" onfocus=__run() autofocus ' onfocus=__run() autofocus x=`{{__run()}}${__run()}javascript:__run()//"
    "&lt;img src=x onerror=__run()&gt;＜img src=x onerror=__run()＞%3Cimg%20src=x%3E\\u003cb\\u003e\u2028\u202e"
)
MARKUP = (
    "\"'><img class=hacked src=x onerror=__run()><svg class=hacked onload=__run()></svg><details open ontoggle=__run()>"
    '<iframe class=hacked srcdoc="<script>parent.__run()</script>"></iframe></title></textarea></template></style>'
    f"</script><script class=hacked>__run()</script><base href={AWAY}><link rel=stylesheet href={AWAY}a.css>"
    f"<meta http-equiv=refresh content='0;url={AWAY}'><style class=hacked>@import '{AWAY}b.css'</style>"
    f"<a class=hacked href='javascript:__run()'>x</a><form action={AWAY}><button class=hacked autofocus>--><!--" + PLAIN
)
PATH = "\"/onfocus=__run()/'/onfocus=__run()/javascript:__run()"  # of an address
SCRIPT = "javascript:__run()//"  # as an address
_TRAP = """
const tell = (words) => console.error(`trap: ${words}`);
window.__run = () => tell("a payload ran");
window.alert = window.prompt = window.confirm = () => tell("a payload opened a window");
addEventListener("securitypolicyviolation", (event) =>
  tell(`the policy stopped ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
# What would run by itself, or when somebody touches it.
_SWEEP = """() => [
  ...[...document.querySelectorAll("*")].flatMap((one) => [...one.attributes]
    .filter(({ name, value }) => /^on|^srcdoc$/i.test(name)
      || (/href$|src$|action$|^data$/i.test(name) && /^[\\s\\x00-\\x1f]*(javascript|vbscript|data:text)/i.test(value)))
    .map(({ name, value }) => `${one.tagName} ${name}=${value}`)),
  ...[...document.querySelectorAll(".hacked, base, meta[http-equiv], iframe, object, embed")]
    .map((one) => one.outerHTML.slice(0, 200)),
]"""
_SAID = "() => document.documentElement.outerHTML"


class Words:
    """Makes payloads. marks: what each is about, by its mark."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}

    def plain(self, what: str, most: int = 200) -> str:
        """As a name may be: at most so many characters, no < and >."""
        return self._mark(what) + PLAIN[: most - 8]

    def markup(self, what: str) -> str:
        return self._mark(what) + MARKUP

    def _mark(self, what: str) -> str:
        mark = f"zq{len(self.marks):03d}qz"
        self.marks[mark] = what
        return f"{mark} "


@dataclass
class Trap:
    """A page on which nothing may run. allowed: origins from which it may take something; shown: marks that were seen
    on any page."""

    page: Page
    words: Words
    allowed: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)

    def look(self, where: str = "") -> None:
        """Take down what the page shows. Fails for whatever has run on it, could run, or left."""
        html = str(self.page.evaluate(_SAID))
        self.shown |= {mark for mark in tuple(self.words.marks) if mark in html}
        self.problems += [f"{where or self.page.url}: {one}" for one in self.page.evaluate(_SWEEP)]
        assert not self.problems, self.problems

    def unseen(self) -> list[str]:
        """What no page has shown."""
        return sorted(what for mark, what in self.words.marks.items() if mark not in self.shown)


@contextmanager
def trap(browser: Browser, words: Words, *allowed: str) -> Iterator[Trap]:
    """allowed: addresses of services."""
    with browsing(), browser.new_context(viewport={"width": 1280, "height": 1600}) as context:
        context.set_default_timeout(10_000)
        context.add_init_script(_TRAP)
        page = context.new_page()
        made = Trap(page, words, {origin(one) for one in allowed})

        def asked(url: str) -> None:
            if not url.startswith(("blob:", "data:", "about:")) and origin(url) not in made.allowed:
                made.problems.append(f"{page.url} asked {url}")

        page.on("request", lambda request: asked(request.url))
        page.on("dialog", lambda dialog: made.problems.append(f"{page.url}: a window ({dialog.message})"))
        page.on("console", lambda m: made.problems.append(f"{page.url}: {m.text}") if "trap:" in m.text else None)
        page.on("pageerror", lambda error: made.problems.append(f"{page.url}: {error}"))
        yield made
        page.goto("about:blank")


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
