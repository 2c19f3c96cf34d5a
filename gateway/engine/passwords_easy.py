"""Passwords that are guessed first: how easy ones are told without a list of millions.

Lists of leaked passwords are large and go stale on a machine without internet. What is on them is
made of few things: words that everybody takes, names, rows of keys, rows of letters and digits,
years, and the same again; letters are written as digits that look alike. So all of that is crossed
out, and what is left must still be something.

Source: NIST SP 800-63B-4, 3.1.1.2 (blocklist of common, expected and context-specific words);
OWASP ASVS 5.0, 6.2.4, 6.2.11 and 6.2.12.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import ConfigError

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 128
DISTINCT_MIN: Final = 5
RUN_MIN: Final = 4
"""So many neighbours on a keyboard or in the alphabet are a row."""
LONG: Final = 20
"""From here on digits alone are enough."""
_WORDS: Final = """
password passwort passwd passphrase parole pass kennwort motdepasse contrasena senha haslo
letmein welcome willkommen bienvenue changeme change default secret geheim hello hallo hola
login access admin administrator root user guest test demo temp public private operator
engineer viewer writer maintenance service factory machine plant genba gateway edge scada
modbus opcua mqtt siemens station control system server computer internet network iloveyou
love lovely sweet angel baby monkey dragon tiger eagle falcon panther wolf shadow football
baseball basketball soccer hockey liverpool arsenal chelsea barcelona juventus master
sunshine princess prince superman batman spiderman pokemon naruto starwars matrix trustno
whatever freedom killer ninja samurai hunter ranger thunder flower summer winter spring
autumn sommer herbst monday friday january december michael jennifer jordan thomas daniel
andrew joshua matthew charlie ashley jessica nicole michelle robert william google facebook
samsung apple windows linux ubuntu raspberry toyota honda suzuki mercedes porsche ferrari
tokyo osaka kyoto japan nippon sakura fujisan konnichiwa arigato berlin london abc xyz
"""
"""Words out of which most guessed passwords are made, and the words of this device."""
_STEMS: Final = tuple(_WORDS.split())
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "qsdfghjklm",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "qazwsxedcrfvtgbyhnujm",
    "!@#$%^&*()",
    "!\"#$%&'()",
)
_ALIKE: Final = str.maketrans("013457@$!|", "oieastasil")
"""Digits and signs as the letters that they are taken for."""


def judge(password: str, name: str) -> None:
    """Refuse a password that is guessed first.

    >>> judge("correct horse battery", "anna")

    Raises:
        ConfigError: It is too short, too long or too easy; the text says which.
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise ConfigError(
            f"A password has {LENGTH_MIN} to {LENGTH_MAX} characters.",
            hint="Four words with spaces are good.",
        )
    low = password.casefold()
    if len(set(low)) < DISTINCT_MIN or period(low) < LENGTH_MIN or _is_row(low):
        raise ConfigError("This password is too easy to guess.", hint="Use four words.")
    rest = {c for c in left_of(low, name.casefold()) if c.isalpha()}
    if len(rest) < DISTINCT_MIN and len(password) < LONG:
        raise ConfigError(
            "This password is made of what is guessed first: names, digits, rows of keys, words "
            "of this device.",
            hint="Use four words.",
        )


def period(text: str) -> int:
    """Length of the shortest text that gives this one when it is written again and again.

    >>> period("abcabcab"), period("abcd")
    (3, 4)
    """
    for size in range(1, len(text)):
        if text[size:] == text[:-size]:
            return size
    return len(text)


def _is_row(text: str) -> bool:
    """Whether it is nothing but one row, forwards or backwards, once or more."""
    return any(text in row * 3 or text in row[::-1] * 3 for row in _ROWS)


def left_of(low: str, name: str) -> str:
    """What is left of a password once all that is guessed first is crossed out.

    Args:
        low: The password without upper case.
        name: Of the account, likewise.

    >>> left_of("p@ssw0rd-anna-2026!", "anna")
    '--2026!'
    >>> left_of("zxcvb+otter", "anna")
    '+otter'
    """
    is_out = [False] * len(low)
    written = {low, low.translate(_ALIKE)}
    for text in written:
        if len(text) == len(low):  # Case folding may make one letter of two, never here of one.
            for word in (*_STEMS, *_parts(name)):
                _cross_out(text, word, is_out)
    for row in _ROWS:
        for way in (row, row[::-1]):
            for begin in range(len(way) - RUN_MIN + 1):
                _cross_out(low, way[begin : begin + RUN_MIN], is_out)
    return "".join(c for c, out in zip(low, is_out, strict=True) if not out)


def _parts(name: str) -> list[str]:
    """A name, and what its dots and dashes divide it into."""
    parts = name.replace(".", " ").replace("-", " ").replace("_", " ").split()
    return [part for part in (name, *parts) if len(part) > 1]


def _cross_out(text: str, word: str, is_out: list[bool]) -> None:
    at = text.find(word)
    while at >= 0:
        is_out[at : at + len(word)] = [True] * len(word)
        at = text.find(word, at + 1)


__all__ = ["DISTINCT_MIN", "LENGTH_MAX", "LENGTH_MIN", "judge", "left_of", "period"]
