#!/usr/bin/env python3
"""Inventory of gateways from a table: ``ansible-playbook -i inventory/from_csv.py site.yml``.

Reads gateways.csv beside it, or the file that GENBA_GATEWAYS names. The first line names the
columns: `host` and `ring` are needed (canary, ring1, ring2, ring3), `groups` may hold more groups
with blanks between; every other column becomes a variable of the host, empty ones do not.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path


def inventory(path: Path) -> dict[str, object]:
    """The inventory as Ansible wants it."""
    hosts: dict[str, dict[str, str]] = {}
    groups: dict[str, list[str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            host, ring = (row.pop("host", "") or "").strip(), (row.pop("ring", "") or "").strip()
            if not host or not ring:
                sys.exit(f"{path}, line {number}: host and ring are needed.")
            if host in hosts:
                sys.exit(f"{path}, line {number}: {host} is there twice.")
            for group in [ring, *(row.pop("groups", "") or "").split()]:
                groups.setdefault(group, []).append(host)
            hosts[host] = {key: value for key, value in row.items() if key and value}
    return {"_meta": {"hostvars": hosts}, **{name: {"hosts": one} for name, one in groups.items()}}


if __name__ == "__main__":
    usual = Path(__file__).with_name("gateways.csv")
    print(json.dumps(inventory(Path(os.environ.get("GENBA_GATEWAYS", usual)))))
