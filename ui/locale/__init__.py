"""Texts: collects what the screens say, from Python and from the browser code, for translators.

``python -m ui.locale`` brings ``ui/locale/*/LC_MESSAGES/genba.po`` and ``gateway/locale/*.po`` up
to date: new texts come in without a translation, texts that nobody says any more go. The first
holds what the screens say, the second the sentences of the gateway itself (alarm reasons, lint,
devices), which its API needs too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from gateway.flow import said
from ui.assets import FRONTEND, HERE
from ui.locale.sentences import sentences
from ui.locale.specs import spec_texts

LOCALE: Final = HERE / "locale"
_KEYWORDS: Final = {"_": None, "N_": None, "translated": (2,)}
_IN_JS: Final = re.compile(r"""\bt\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)")""")
_ESCAPED: Final = re.compile(r"\\(.)")


def collected() -> Catalog:
    """Every text with where it stands."""
    found = Catalog(project="genba", charset="utf-8")
    for path in sorted(HERE.rglob("*.py")):
        place = path.relative_to(HERE.parent).as_posix()
        with path.open("rb") as file:
            for line, text, _comments, _context in extract("python", file, _KEYWORDS):
                if isinstance(text, str) and text:
                    found.add(text, locations=[(place, line)])
    for path in sorted((FRONTEND / "src").rglob("*")):
        if path.suffix in (".js", ".vue"):
            place = path.relative_to(HERE.parent).as_posix()
            for line, text in texts_of(path.read_text("utf-8")):
                found.add(text, locations=[(place, line)])
    for place, text in spec_texts():
        found.add(text, locations=[(place, 1)])
    return found


def collected_said() -> Catalog:
    """Every sentence of the gateway itself, as a template, with where it stands."""
    found = Catalog(project="genba", charset="utf-8")
    for place, text in sentences():
        found.add(text, locations=[(place, 1)])
    return found


def texts_of(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every ``t('…')`` in browser code.

    >>> list(texts_of("a\\nb(t('It\\\\'s {n}', { n }))"))
    [(2, "It's {n}")]
    """
    for match in _IN_JS.finditer(source):
        text = match[1] if match[1] is not None else match[2]
        yield source.count("\n", 0, match.start()) + 1, _ESCAPED.sub(r"\1", text)


def path_of(language: str) -> Path:
    """The catalogue of a language."""
    return LOCALE / language / "LC_MESSAGES" / "genba.po"


def said_path_of(language: str) -> Path:
    """The catalogue of a language for the sentences of the gateway itself."""
    return said.LOCALE / f"{language}.po"


def catalogue(language: str) -> Catalog:
    """What is translated so far."""
    return _read(path_of(language), language)


def _read(path: Path, language: str) -> Catalog:
    if not path.exists():
        return Catalog(locale=language, project="genba", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> int:
    """Bring both catalogues up to date; returns how many texts have no translation."""
    missing = _update(path_of(language), language, collected())
    return missing + _update(said_path_of(language), language, collected_said())


def _update(path: Path, language: str, found: Catalog) -> int:
    kept = {message.id: message.string for message in _read(path, language)}
    fresh = Catalog(locale=language, project="genba", charset="utf-8", fuzzy=False)
    for message in found:
        if message.id:
            fresh.add(message.id, str(kept.get(message.id) or ""), locations=message.locations)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        # Places without lines, so that a change elsewhere in a file changes nothing here.
        write_po(file, fresh, sort_output=True, include_lineno=False, omit_header=True, width=100)
    return sum(1 for message in fresh if message.id and not message.string)
