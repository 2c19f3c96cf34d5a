#!/usr/bin/env python3
"""Inventory of gateways from a table: ``ansible-playbook -i inventory/from_csv.py site.yml``.

Reads gateways.csv beside it, or the file that GENBA_GATEWAYS names, as a spreadsheet writes it:
UTF-8, commas, semicolons or tabs between. The first line names the columns: `host` and `ring`
are needed (canary, ring1, ring2, ring3), `groups` may hold more groups with blanks between; every
other column becomes a variable of the host, where its cell is not empty. Whatever is wrong in the
table is said at once, with its line, and then there is no inventory at all.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

RINGS = ("canary", "ring1", "ring2", "ring3")
TAKEN = ("all", "ungrouped", *RINGS)
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Table:
    """The hosts and groups of a table, and what is wrong with it."""

    def __init__(self) -> None:
        self.hosts: dict[str, dict[str, str]] = {}
        self.groups: dict[str, list[str]] = {}
        self.wrong: list[str] = []
        self._known: dict[str, int] = {}
        self._names: list[str] = []

    def read(self, text: str) -> None:
        """Take in the text of a table."""
        lines = text.splitlines() or [""]
        mark = max(",;\t", key=lines[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        try:
            for cells in reader:
                row = [cell.strip() for cell in cells]
                if not any(row):
                    continue
                is_first = not self._names
                self._names = self._names or row
                wrong = self._header() if is_first else self._row(row, reader.line_num)
                self.wrong += [f"line {reader.line_num}: {one}" for one in wrong]
                if is_first and self.wrong:
                    return
        except csv.Error as error:
            self.wrong.append(f"line {reader.line_num}: {error}. Is a quotation mark left open?")
            return
        if not self.hosts and not self.wrong:
            self.wrong.append("there is no gateway in it.")

    def _header(self) -> Iterator[str]:
        for name in ("host", "ring"):
            if name not in self._names:
                yield f"there is no column {name}; the first line names the columns."
        for name in sorted({name for name in self._names if self._names.count(name) > 1}):
            yield f"the column {name!r} is there twice."
        for name in self._names:
            if not WORD.fullmatch(name):
                yield f"the column {name!r} cannot be a variable: letters, digits and _ only."

    def _row(self, row: list[str], number: int) -> Iterator[str]:
        if len(row) > len(self._names):
            yield (
                f"{len(row)} cells, and there are {len(self._names)} columns. "
                'A cell with a separator in it needs quotation marks: "a,b".'
            )
            return
        cells = dict(zip(self._names, row, strict=False))
        host, ring = cells.pop("host", ""), cells.pop("ring", "")
        groups = list(dict.fromkeys(cells.pop("groups", "").split()))
        if not HOST.fullmatch(host):
            about = "host is empty." if not host else f"{host!r} is no name of one host."
            yield f"{about} Each gateway has a line of its own, such as gw07.plant.example."
        if ring not in RINGS:
            yield f"ring is {ring!r}; it must be one of {', '.join(RINGS)}."
        for group in groups:
            if not WORD.fullmatch(group) or group in TAKEN:
                yield f"{group!r} cannot be a further group."
        address = cells.get("ansible_host", "")
        for one in {host.lower(), address.lower()} - {""}:
            if one in self._known:
                yield f"{one} is there twice, first in line {self._known[one]}."
            self._known.setdefault(one, number)
        self.hosts[host] = {name: value for name, value in cells.items() if value}
        for group in (ring, *groups):
            self.groups.setdefault(group, []).append(host)

    def inventory(self) -> dict[str, object]:
        """As Ansible wants it."""
        groups = {name: {"hosts": hosts} for name, hosts in self.groups.items()}
        return {"_meta": {"hostvars": self.hosts}, **groups}


def main() -> None:
    """Print the inventory, or what is wrong."""
    usual = Path(__file__).resolve().with_name("gateways.csv")
    path = Path(os.environ.get("GENBA_GATEWAYS") or usual)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}. GENBA_GATEWAYS names another table.")
    except UnicodeDecodeError as error:
        sys.exit(f"{path} is not UTF-8 (byte {error.start}). Save it as CSV UTF-8.")
    table = Table()
    table.read(text)
    clash = sorted({*table.groups} & {*table.hosts})
    table.wrong += [f"{name!r} is the name of a host and of a group." for name in clash]
    if table.wrong:
        sys.exit("\n".join(f"{path}, {one}" for one in table.wrong))
    print(json.dumps(table.inventory()))


if __name__ == "__main__":
    main()
