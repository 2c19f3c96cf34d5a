"""Licences: all that a gateway is made of, under which terms, and as a bill of materials.

Three kinds of parts: packages of Python with their own metadata, JavaScript that was built into
the screens (``ui/licences.json``, written by ``ui/frontend/licences.mjs``), and what has no
metadata anywhere: Python with its libraries, fonts, the model.

Source: CycloneDX 1.6 (ECMA-424); PEP 639 for licence expressions; PEP 508 for dependencies.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import ssl
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

_LICENCE_MAX: Final = 80
_OSI: Final = "License :: OSI Approved :: "
_FILES: Final = re.compile(r"(^|/)(licen[cs]es?|copying|notice|authors)([-._][^/]*)?$", re.I)
_FOLDER: Final = re.compile(r"\.dist-info/licenses/")
_NAME: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
_SPDX: Final = re.compile(r"^[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*$")
_TEXT_MAX: Final = 200_000
_SPACE: Final = uuid.UUID("7b0c3b0e-6a3f-5d0c-9e57-2f7a64b2a3d1")
"""Serial numbers of bills are made in a name space of our own, so the same parts give the same."""
PRODUCT: Final = "genba"
_LIBRARIES: Final = {
    "libsqlite3": ("SQLite", "blessing"),
    "libbz2": ("bzip2", "bzip2-1.0.6"),
    "libffi": ("libffi", "MIT"),
    "liblzma": ("liblzma", "LicenseRef-public-domain"),
    "libuuid": ("libuuid", "BSD-3-Clause"),
    "libz": ("zlib", "Zlib"),
    "libgcc_s": ("libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libstdc++": ("libstdc++", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libgomp": ("libgomp", "GPL-3.0-or-later WITH GCC-exception-3.1"),
}
"""Libraries of the system it was built on, which the binary carries; by their files."""
_MAY_BE_THERE: Final = ("amqtt", "llama-cpp-python", "xllamacpp")
"""What the binary carries besides, and `genba models install` brings: parts where they are."""


@cache
def packages() -> list[dict[str, str]]:
    """What is installed beside the gateway, with its licence in the words of its makers."""
    found = {}
    for one in metadata.distributions():
        head = one.metadata
        name = _field(head, "Name")
        if name:
            found[name.lower()] = {"name": name, "version": one.version, "licence": _licence(head)}
    return [found[name] for name in sorted(found)]


def parts() -> list[dict[str, Any]]:
    """Everything: name, version, licence, kind (``python``, ``screens``, ``other``), texts.

    ``part`` says whether the gateway needs it; what else is installed stands beside it.
    """
    needed = set(needs())
    rows: list[dict[str, Any]] = [
        {**row, "kind": "python", "part": _plain(row["name"]) in needed, "texts": ()}
        for row in packages()
    ]
    for row in rows:
        row["texts"] = texts_of(row["name"])
    return rows + _screens() + _others()


@cache
def needs() -> dict[str, tuple[str, ...]]:
    """The gateway and what it needs, each with what that needs; names in plain form (PEP 503)."""
    found: dict[str, tuple[str, ...]] = {}
    waiting = [PRODUCT, *_MAY_BE_THERE]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        heads = (_NAME.match(one) for one in wanted if "extra ==" not in one)
        found[name] = tuple(sorted({_plain(head[0]) for head in heads if head}))
        waiting += found[name]
    # One for another system or an older Python is not there.
    return {name: tuple(one for one in rows if one in found) for name, rows in found.items()}


def texts_of(name: str) -> tuple[str, ...]:
    """The licence texts that a package of Python brings along."""
    found = []
    try:
        listed = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return ()
    for path in listed:
        is_one = ".dist-info/" in str(path) and _FILES.search(str(path))
        if is_one or _FOLDER.search(str(path)):
            try:
                found.append(Path(str(path.locate())).read_text("utf-8", "replace")[:_TEXT_MAX])
            except OSError:  # The list names a file that a packager left out.
                continue
    return tuple(found)


def bill(now: int) -> dict[str, Any]:
    """The bill of materials as CycloneDX 1.6.

    Args:
        now: The time [ns].
    """
    rows = [row for row in parts() if _plain(row["name"]) != PRODUCT or row["kind"] != "python"]
    components = [_component(row) for row in rows]
    refs = {_plain(row["name"]): _ref(row) for row in rows if row["kind"] == "python"}
    version = metadata.version(PRODUCT)
    own = f"pkg:pypi/{PRODUCT}@{version}"
    refs[PRODUCT] = own
    depends = [
        {"ref": refs[name], "dependsOn": sorted(refs[one] for one in wanted if one in refs)}
        for name, wanted in sorted(needs().items())
        if name in refs
    ]
    beside = [_ref(row) for row in rows if row["kind"] != "python"]
    for one in depends:
        if one["ref"] == own:
            one["dependsOn"] = sorted({*one["dependsOn"], *beside})
    serial = uuid.uuid5(_SPACE, json.dumps([own, components], sort_keys=True))
    when = datetime.fromtimestamp(now // 10**9, UTC).isoformat().replace("+00:00", "Z")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": when,
            "tools": {"components": [{"type": "application", "name": PRODUCT, "version": version}]},
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": PRODUCT,
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": depends,
    }


def _component(row: Mapping[str, Any]) -> dict[str, Any]:
    ref = _ref(row)
    made: dict[str, Any] = {
        "type": row.get("type", "library"),
        "bom-ref": ref,
        "name": row["name"],
        "version": row["version"],
        "scope": "required" if row["part"] else "excluded",
    }
    if ref.startswith("pkg:"):
        made["purl"] = ref
    if row["licence"]:
        made["licenses"] = [_terms(row["licence"])]
    return made


def _terms(licence: str) -> dict[str, Any]:
    """What is no expression of SPDX is a name; the two may not be mixed."""
    bare = licence.replace("(", "").replace(")", "")
    if _SPDX.match(bare) and (" " in bare or "-" in bare or bare in ("MIT", "ISC", "0BSD")):
        return {"expression": licence}
    return {"license": {"name": licence}}


def _ref(row: Mapping[str, Any]) -> str:
    match row["kind"]:
        case "python":
            return f"pkg:pypi/{_plain(row['name'])}@{row['version']}"
        case "screens":
            return f"pkg:npm/{row['name'].replace('@', '%40')}@{row['version']}"
    return f"{PRODUCT}:{row['name']}@{row['version']}"


def _screens() -> list[dict[str, Any]]:
    """JavaScript that is built into the screens."""
    rows = json.loads((Path(str(files("ui"))) / "licences.json").read_text("utf-8"))
    return [{**row, "kind": "screens", "part": True, "texts": tuple(row["texts"])} for row in rows]


def libraries(tree: Path) -> list[dict[str, str]]:
    """The libraries of C that lie in the tree of a binary; the version is that of the interface.

    Args:
        tree: Its folder.
    """
    rows = []
    for path in sorted(tree.glob("*.so.*")):
        base, _, number = path.name.partition(".so.")
        if base in _LIBRARIES:
            name, licence = _LIBRARIES[base]
            rows.append({"name": name, "version": number, "licence": licence})
    return rows


def _others() -> list[dict[str, Any]]:
    """What nobody else lists: it is in the binary, or in the folders of the product."""
    fonts = Path(str(files("ui"))) / "fonts" / "LICENSE"
    other: dict[str, Any] = {"kind": "other", "part": True, "texts": ()}
    rows = [
        {**other, "name": "CPython", "version": platform.python_version(), "licence": "PSF-2.0"},
        {
            **other,
            "name": "OpenSSL",
            "version": ssl.OPENSSL_VERSION.split()[1],
            "licence": "Apache-2.0",
        },
        {
            **other,
            "name": "Noto Sans JP",
            "version": "fontsource",
            "licence": "OFL-1.1",
            "type": "data",
            "texts": (fonts.read_text("utf-8"),),
        },
    ]
    if tree := getattr(sys, "_MEIPASS", ""):
        rows += [{**other, **row} for row in libraries(Path(tree))]
    model = Path(str(files("models"))) / "explainer" / "genba.gguf"
    if model.exists():
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        rows.append(
            {
                **other,
                "name": "genba.gguf",
                "version": digest[:12],
                "licence": "Apache-2.0",
                "type": "machine-learning-model",
            }
        )
    return rows


def _plain(name: str) -> str:
    """A name of a package in its one form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _field(head: metadata.PackageMetadata, name: str) -> str:
    return (head[name] or "").strip() if name in head else ""


def _licence(head: metadata.PackageMetadata) -> str:
    """The expression of SPDX where there is one (PEP 639), else a word or a classifier."""
    said = _field(head, "License-Expression") or _field(head, "License")
    line = said.partition("\n")[0].strip()
    if line and line != "UNKNOWN" and len(said) <= _LICENCE_MAX:
        return line
    classified = [
        text.removeprefix(_OSI)
        for text in head.get_all("Classifier") or []
        if text.startswith(_OSI)
    ]
    return ", ".join(classified) or line[:_LICENCE_MAX]


__all__ = ["bill", "needs", "packages", "parts", "texts_of"]
