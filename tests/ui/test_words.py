"""The languages of the pages: the catalogue has what the pages say, and says what they mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect
from werkzeug.datastructures import LanguageAccept

from tests.calm import browsing
from tests.processes import ROOT
from tests.ui.conftest import Mesh
from ui.words import LANGUAGES, LOCALES, SOURCE, chosen, read, renewed

UI = ROOT / "ui"
OTHERS = [language for language in LANGUAGES if language != SOURCE]
MODULES = sorted((UI / "static" / "js").rglob("*.js"))
TEMPLATES = sorted((UI / "templates").glob("*.html"))
LITERAL = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""


def ids_of(language: str) -> set[str]:
    """Every English text of a catalogue, plural forms too."""
    found: set[str] = set()
    for message in read(LOCALES / f"{language}.po", language):
        if message.id:
            found.update([message.id] if isinstance(message.id, str) else message.id)
    return found


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}|%\(\w+\)s|%%", text))


@pytest.mark.parametrize("language", OTHERS)
def test_the_catalogue_has_every_text_and_no_other(language: str) -> None:
    """`python -m ui.words` would change nothing."""
    path = LOCALES / f"{language}.po"
    assert renewed(path, language) == path.read_bytes(), "run: python -m ui.words"
    assert b"@" not in path.read_bytes().split(b"\n\n", 1)[0], "no addresses in the header"


@pytest.mark.parametrize("language", OTHERS)
def test_what_a_search_finds_is_in_the_catalogue(language: str) -> None:
    """A second look, that knows nothing of how the catalogue is made."""
    known = ids_of(language)
    for path in MODULES:
        for text in re.findall(rf"\bt\(\s*{LITERAL}", path.read_text()):
            assert _unquoted(text) in known, (path.name, text)
        for one, more in re.findall(rf"\bn\([^,\"']+,\s*{LITERAL},\s*{LITERAL}", path.read_text()):
            assert {_unquoted(one), _unquoted(more)} <= known, (path.name, one)
    for path in TEMPLATES:
        for text in re.findall(rf"\b_\(\s*{LITERAL}", path.read_text()):
            assert _unquoted(text) in known, (path.name, text)


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal[1:-1])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_texts_are_literals(path: Path) -> None:
    """What is put together at run time would be in no catalogue."""
    if path.name != "i18n.js":
        assert not re.findall(r"(?<![\w.])(?:t|n)\((?!\s*[\"'\w])[^)]*\)", path.read_text())
        assert not re.findall(r"(?<![\w.])t\(\s*\w[^)]*\)", path.read_text())


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str) -> None:
    """Nothing empty, nothing guessed, and the same placeholders in every form."""
    wrong: list[str] = []
    for message in read(LOCALES / f"{language}.po", language):
        if not message.id:
            continue
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        forms = [message.string] if isinstance(message.string, str) else list(message.string or [""])
        if message.fuzzy or not all(forms):
            wrong.append(f"not translated: {ids[0]}")
        elif any(placeholders(form) != placeholders(ids[-1]) for form in forms):
            wrong.append(f"other placeholders: {ids[0]}")
    assert not wrong


def test_a_chosen_language_goes_before_the_browsers() -> None:
    """The cookie, else what the browser likes best, else English."""
    chinese = LanguageAccept([("zh-CN", 1), ("en", 0.8)])
    assert chosen({}, chinese) == "zh"
    assert chosen({}, LanguageAccept([("fr", 1)])) == "en"
    assert chosen({}, LanguageAccept([("en-GB", 1), ("zh", 0.9)])) == "en"
    assert chosen({"fogline.language": "en"}, chinese) == "en"
    assert chosen({"fogline.language": "tlh"}, chinese) == "zh"


def test_modules_get_their_texts_from_the_dashboard(mesh: Mesh) -> None:
    """English → theirs; an unknown language is refused by name."""
    page = requests.get(mesh.ui, headers={"Accept-Language": "zh-CN"}, timeout=5)
    address = re.findall(r'data-words="([^"]+)"', page.text)[0]
    table = requests.get(mesh.ui + address, timeout=5).json()
    assert set(table) <= ids_of("zh")
    assert 'data-words=""' in requests.get(mesh.ui, timeout=5).text
    assert requests.get(mesh.ui + address.replace("zh.json", "tlh.json"), timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [("/nodes", "/nodes"), ("//elsewhere.example", "/"), ("/\\elsewhere.example", "/"), ("http://elsewhere", "/")],
)
def test_a_choice_leads_back_to_our_page_and_nowhere_else(mesh: Mesh, back: str, leads_to: str) -> None:
    """Whatever the address says."""
    answer = requests.get(f"{mesh.ui}/language/zh", params={"back": back}, allow_redirects=False, timeout=5)
    assert answer.status_code == 303
    assert answer.headers["Location"] == leads_to
    assert requests.get(f"{mesh.ui}/language/tlh", timeout=5).status_code == 404


def test_the_language_is_chosen_with_a_click(mesh: Mesh, browser: Browser) -> None:
    """Pages of a Chinese browser are Chinese; the link at the foot changes that, and it stays so."""
    with browsing(), browser.new_context(locale="zh-CN") as context:
        page = context.new_page()
        page.goto(f"{mesh.ui}/nodes", wait_until="commit")
        expect(page.locator("html")).to_have_attribute("lang", "zh")
        page.get_by_role("link", name="English").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page).to_have_url(f"{mesh.ui}/nodes")
        page.goto(f"{mesh.ui}/about", wait_until="commit")
        expect(page.get_by_role("heading", name="What these pages take from others")).to_be_visible()
