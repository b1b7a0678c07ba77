"""The languages of the pages: texts are written in English where they are used, and looked up here.

`python -m ui.words` brings the catalogues under locales/ up to date with the texts in templates and modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from babel.support import Translations
from flask import Flask, has_request_context, request
from werkzeug.datastructures import LanguageAccept

HERE = Path(__file__).resolve().parent
LOCALES = HERE / "locales"
SOURCE = "en"
LANGUAGES = {SOURCE: "English", "zh": "中文"}  # as their speakers call them
COOKIE = "fogline.language"  # what somebody chose goes before what the browser asks for
_METHODS = [("static/js/**.js", "javascript"), ("templates/**.html", "jinja2.ext.babel_extract")]
# `n` has the count first in JavaScript and last in templates.
_KEYWORDS = {"t": None, "n": (2, 3), "_": None, "gettext": None, "ngettext": (1, 2)}
_OPTIONS = {"templates/**.html": {"trimmed": "true", "silent": "false"}}
# Ours, since the usual one has dates and addresses in it: the same texts always give the same file, wherever they
# are used.
_HEADER = """\
msgid ""
msgstr ""
"Project-Id-Version: Fogline\\n"
"Language: {language}\\n"
"Plural-Forms: {plurals}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


class Words:
    """The catalogues, read once. Any thread may call any method."""

    def __init__(self, folder: Path = LOCALES) -> None:
        self._catalogs = {
            language: read(folder / f"{language}.po", language) for language in LANGUAGES if language != SOURCE
        }
        self._translations = {language: _compiled(catalog) for language, catalog in self._catalogs.items()}

    def table(self, language: str) -> dict[str, str | list[str]]:
        """What the browser looks up: English text → text, or its plural forms. Empty for English."""
        catalog = self._catalogs.get(language)
        if catalog is None:
            return {}
        table: dict[str, str | list[str]] = {}
        for message in catalog:
            if message.id and message.string and not message.fuzzy:
                key = message.id[0] if isinstance(message.id, list | tuple) else message.id
                table[key] = list(message.string) if isinstance(message.string, list | tuple) else message.string
        return table

    def install(self, app: Flask) -> None:
        """Let templates say `{{ _("text") }}` and `{% trans %}`, in the language of the request."""
        app.jinja_env.add_extension("jinja2.ext.i18n")
        app.jinja_env.policies["ext.i18n.trimmed"] = True
        app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]  # the extension adds it
            lambda text: self._of_request().gettext(text),
            lambda one, more, count: self._of_request().ngettext(one, more, count),
            newstyle=True,
        )

    def _of_request(self) -> Translations:
        return self._translations.get(language_of_request(), Translations())


def language_of_request() -> str:
    """The language in which the request under way is answered."""
    if not has_request_context():
        return SOURCE
    return chosen(request.cookies, request.accept_languages)


def chosen(cookies: Mapping[str, str], accepted: LanguageAccept) -> str:
    """The language that somebody chose, else the one that the browser likes best, else English."""
    if cookies.get(COOKIE) in LANGUAGES:
        return cookies[COOKIE]
    # Not `best_match`, which goes past a browser's zh-CN to the English after it.
    liked = (tag.partition("-")[0].lower() for tag, quality in accepted if quality > 0)
    return next((language for language in liked if language in LANGUAGES), SOURCE)


def read(path: Path, language: str) -> Catalog:
    """A catalogue; an empty one where there is none yet."""
    if not path.is_file():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def extracted() -> Catalog:
    """Every text that templates and modules show."""
    catalog = Catalog()
    found = extract_from_dir(HERE, _METHODS, options_map=_OPTIONS, keywords=_KEYWORDS)
    for _path, _line, text, _comments, context in found:
        catalog.add(text, context=context)
    return catalog


def renewed(path: Path, language: str) -> bytes:
    """The catalogue at `path` with the texts that are new, and without those that are no longer used."""
    catalog = read(path, language)
    catalog.update(extracted(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    out = BytesIO()
    out.write(_HEADER.format(language=language, plurals=catalog.plural_forms).encode())
    write_po(out, catalog, width=120, omit_header=True, sort_output=True, no_location=True)
    return out.getvalue()


def renew(folder: Path = LOCALES) -> None:
    """Bring every catalogue up to date."""
    folder.mkdir(exist_ok=True)
    for language in LANGUAGES:
        if language != SOURCE:
            path = folder / f"{language}.po"
            path.write_bytes(renewed(path, language))


def _compiled(catalog: Catalog) -> Translations:
    out = BytesIO()
    write_mo(out, catalog)
    out.seek(0)
    return Translations(out)


if __name__ == "__main__":
    renew()
