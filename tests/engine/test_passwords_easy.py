"""What is guessed first is refused, and what people are told to take is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.passwords_easy import LENGTH_MIN, judge, left_of, period
from gateway.errors import ConfigError

EASY = (
    "password1234",
    "P@ssw0rd2026!",
    "Passw0rd!Passw0rd!",
    "qwertyuiop12",
    "1qaz2wsx3edc",
    "zaq1xsw2cde3",
    "asdfghjkl;12",
    "genba-gateway-1",
    "Genba2026!Genba",
    "anna.schmidt2024",
    "schmidt-anna-1990",
    "administrator1",
    "letmeinletmein",
    "abcabcabcabc",
    "correctcorrect",
    "111111111111",
    "123456789012",
    "098765432109",
    "abcdefghijkl",
    "zyxwvutsrqpo",
    "iloveyou2025!!",
    "Sommer2026!!!",
    "factory-operator",
    "Siemens-Scada-1",
    "aaaaaaaaaaab",
    "konnichiwa2026",
)
GOOD = (
    "four quiet brown horses",
    "correct horse battery",
    "seven loud green boats",
    "vK7#mTq2xWpz",
    "さくら咲く春の朝は寒い日だ",
    "password of my old grey kettle",
    "73190462857310924658",
)


@pytest.mark.parametrize("password", EASY)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(ConfigError, match="guess"):
        judge(password, "anna.schmidt")


@pytest.mark.parametrize("password", GOOD)
def test_what_is_hard_is_taken(password: str) -> None:
    judge(password, "anna.schmidt")


@pytest.mark.parametrize("password", ["", "short", "x7Kq#2mTpWz", "vK7#mTq2" * 17])
def test_the_length_is_said(password: str) -> None:
    with pytest.raises(ConfigError, match="12 to 128"):
        judge(password, "anna")


@given(st.text(min_size=1, max_size=40))
def test_a_period_gives_the_text_again(text: str) -> None:
    size = period(text)
    assert (text[:size] * len(text))[: len(text)] == text
    assert not any((text[:n] * len(text))[: len(text)] == text for n in range(1, size))


@given(st.text(min_size=LENGTH_MIN, max_size=60), st.text(max_size=20))
def test_any_text_is_judged(password: str, name: str) -> None:
    low = password.casefold()
    assert len(left_of(low, name.casefold())) <= len(low)
    try:
        judge(password, name)
    except ConfigError as error:
        assert error.hint
