"""Where nodes of the web may send to: addresses, not names, decide."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.destinations import Destinations, checked, real, special
from gateway.errors import ConfigError, Disconnected


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "100.100.100.200",
        "fd00:ec2::254",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
    ],
)
async def test_special_addresses_are_refused(tmp_path: Path, address: str) -> None:
    assert special(real(ipaddress.ip_address(address)))
    with pytest.raises(ConfigError, match="may not be reached"):
        await Destinations(tmp_path / "d").resolve(address, 80)


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.9", "93.184.216.34", "2001:db8::1"])
def test_the_plants_own_network_is_not_special(address: str) -> None:
    assert special(ipaddress.ip_address(address)) == ""


async def test_a_name_that_leads_here_is_refused_and_one_good_address_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[str] = []

    async def lookup(host: str, port: int, **more: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in rows]

    monkeypatch.setattr(
        "gateway.engine.destinations.asyncio.get_running_loop",
        lambda: type("Loop", (), {"getaddrinfo": staticmethod(lookup)}),
    )
    book = Destinations(tmp_path / "d")
    rows[:] = ["127.0.0.1", "169.254.169.254"]
    with pytest.raises(ConfigError, match=r"evil\.example:443 may not be reached"):
        await book.resolve("evil.example", 443)
    rows[:] = ["127.0.0.1", "10.0.0.5"]
    assert await book.resolve("mixed.example", 443) == ["10.0.0.5"]


async def test_what_an_administrator_allows(tmp_path: Path) -> None:
    book = Destinations(tmp_path / "d")
    book.allow("127.0.0.1:8080")
    assert await book.resolve("127.0.0.1", 8080) == ["127.0.0.1"]
    with pytest.raises(ConfigError):
        await book.resolve("127.0.0.1", 8081)
    book.allow("127.0.0.0/8")
    assert await book.resolve("127.0.0.1", 8081)
    book.set_only(True)
    with pytest.raises(ConfigError, match="not among the destinations"):
        await book.resolve("10.0.0.5", 80)
    again = Destinations(tmp_path / "d")
    assert (again.only, again.entries) == (True, ["127.0.0.1:8080", "127.0.0.0/8"])
    assert again.forbid("127.0.0.0/8")
    assert not again.forbid("127.0.0.0/8")


async def test_a_damaged_file_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").write_text('{"allowed": ["not a name!"], "only": false}')
    book = Destinations(tmp_path / "d")
    with pytest.raises(ConfigError):
        await book.resolve("10.0.0.5", 80)


_WRONG = ["", "a b", "http://x/", "x:0", "x:99999", "*", "-:", "a/33", "[::1"]


@pytest.mark.parametrize("entry", _WRONG)
def test_what_is_no_destination_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match="no destination"):
        checked(entry)


def test_entries_have_one_form() -> None:
    assert checked("[::1]:80") == "[::1]:80"
    assert checked("::1") == "::1"
    assert checked("10.0.0.7/24") == "10.0.0.0/24"
    assert checked("Host.Example") == "host.example"


async def test_a_name_that_is_not_known_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match="is not known"):
        await Destinations(tmp_path / "d").resolve("no.such.host.invalid", 80)
