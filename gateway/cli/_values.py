"""Values as the command line and the settings write them, with their bounds."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.data.tag import TAGS_MAX
from gateway.errors import ConfigError

WANTED: Final = Path("/etc/genba/wanted")
"""What this gateway should be; Ansible and others put it there."""
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def port(text: str) -> int:
    """A TCP port.

    >>> port("8780")
    8780
    """
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write 0 to 65535")
    return int(text)


def count(text: str) -> int:
    """A number of tags.

    >>> count("20000")
    20000
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= TAGS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tags; write 1 to {TAGS_MAX}")
    return int(text)


def switch(text: str) -> bool:
    """True or false.

    >>> switch("true"), switch("off")
    (True, False)
    """
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def address(text: str) -> str:
    """Where the screens answer.

    >>> address("0.0.0.0:8443")
    '0.0.0.0:8443'
    """
    from gateway.cli.screens import Address

    if text != "off":
        try:
            Address.parse(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
    return text


def text_or_json(text: str) -> str:
    """A format of the log.

    >>> text_or_json("json")
    'json'
    """
    if text not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"{text!r} is no format; write text or json")
    return text


def level(text: str) -> str:
    """A level of the log.

    >>> level("info")
    'INFO'
    """
    if text.upper() not in LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is no level; write {', '.join(LEVELS)}")
    return text.upper()


def endpoint(text: str) -> str:
    """The base address of a collector; empty for none.

    >>> endpoint("http://127.0.0.1:4318")
    'http://127.0.0.1:4318'
    """
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment or parts.username or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address of a collector; write http://HOST:4318 or https://HOST:4318"
        )
    return text


def secret_name(text: str) -> str:
    """The name of a secret; empty for none.

    >>> secret_name("otlp-headers")
    'otlp-headers'
    """
    if text and not text.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a secret; see genba secrets list")
    return text


def file(text: str) -> Path | None:
    """A file; empty for none.

    >>> file("")
    """
    return Path(text) if text else None


def ratio(text: str) -> float:
    """A share.

    >>> ratio("0.01")
    0.01
    """
    found = _number(text)
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; write 0 to 1, such as 0.01")
    return found


def interval(text: str) -> float:
    """Seconds between two sendings.

    >>> interval("30")
    30.0
    """
    found = _number(text)
    if not 5 <= found <= 3_600:
        raise argparse.ArgumentTypeError(f"{text!r} is no interval; write 5 to 3600 seconds")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
