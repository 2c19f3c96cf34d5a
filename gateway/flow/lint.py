"""Lint: everything about a flow that can be known to be wrong before it runs.

A finding names file, line, node, field, what is wrong and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.findings import Finding, config_problems, near
from gateway.flow.layout import layout_path, load_layout
from gateway.flow.lint_outbox import waiting_findings
from gateway.flow.lint_scores import score_findings
from gateway.flow.lint_subflow import boxes_of, placed, subflow_findings
from gateway.flow.lint_tests import test_findings
from gateway.flow.lint_units import unit_clashes
from gateway.flow.lint_wires import wire_findings
from gateway.flow.lint_writes import write_findings
from gateway.flow.node import Node
from gateway.flow.subflow import subflow_of
from gateway.flow.variables import resolve
from gateway.flow.yaml_read import Path as Place

# Names of options whose value is a secret; a reference ({secret: name}) stands in its place.
_SECRET_WORDS = ("password", "passwd", "secret", "token", "api_key", "private_key", "passphrase")


def lint_file(path: str | Path, variables: Mapping[str, str] | None = None) -> list[Finding]:
    """Findings of a file; one that cannot be read is one finding."""
    try:
        document = Document.load(path)
    except ConfigError as error:
        return [_from_error(error, Path(path).name)]
    return lint(document, variables) + _layout_findings(document, path)


def lint_text(
    text: str, file: str, variables: Mapping[str, str] | None = None
) -> tuple[Document | None, list[Finding]]:
    """The document of a text and its findings; one that cannot be read is one finding."""
    try:
        document = Document.parse(text, file)
    except ConfigError as error:
        return None, [_from_error(error, file)]
    return document, lint(document, variables)


def _layout_findings(document: Document, path: str | Path) -> list[Finding]:
    file = layout_path(path).name
    try:
        boxes = load_layout(path)
    except ConfigError as error:
        return [Finding("warning", file, 1, "", "", error.text, error.hint)]
    text = "The layout places this box, but the flow has no such node."
    hint = "Save the flow in the editor, or delete the line."
    known = {*document.nodes, *document.connections, *boxes_of(document)}
    return [Finding("warning", file, 1, box, "", text, hint) for box in boxes if box not in known]


def lint(document: Document, variables: Mapping[str, str] | None = None) -> list[Finding]:
    """Findings of a document, errors and warnings, by line.

    Args:
        document: As parsed.
        variables: Values for ``${name}``; without one its default counts.
    """
    findings = subflow_findings(document)
    if any(finding.severity == "error" for finding in findings):
        plain = {n: e for n, e in document.nodes.items() if subflow_of(e.type) is None}
        linter = _Linter(replace(document, nodes=plain))
        findings += [*linter.entries("nodes", plain), *linter.secrets(document)]
        return _sorted(findings)
    whole: Document | None
    try:
        whole = document.with_values(lambda value: resolve(value, variables or {}))
    except ConfigError as error:
        findings.append(_from_error(error, document.file))
        whole = None
    try:
        written = document.expanded()
    except ConfigError:
        return _sorted(findings)
    whole = whole or written
    findings += placed(_whole_findings(whole, written), whole)
    if not whole.nodes:
        text, hint = "The flow has no node.", "Write `nodes:`; `genba docs start` shows a flow."
        findings.append(Finding("warning", whole.file, whole.line("nodes"), "", "", text, hint))
    return _sorted(findings)


def _whole_findings(whole: Document, written: Document) -> Iterator[Finding]:
    """Findings of a flow without subflows, its variables replaced, and as it was written."""
    linter = _Linter(whole)
    yield from linter.entries("connections", whole.connections)
    yield from linter.entries("nodes", whole.nodes)
    yield from linter.connections()
    yield from linter.writes()
    yield from linter.secrets(written)
    yield from wire_findings(whole)
    yield from waiting_findings(whole)
    for look in (write_findings, unit_clashes, score_findings):
        yield from look(whole, linter.configs)
    yield from test_findings(whole)


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(set(findings), key=lambda f: (f.line, f.node, f.field, f.text))


def _from_error(error: ConfigError, file: str) -> Finding:
    head, _, place = error.where.partition(" ")
    line = head.rpartition(":")[2]
    parts = place.split(".")
    inside = parts[0] in ("nodes", "connections") and len(parts) > 1
    return Finding(
        "error",
        head.rpartition(":")[0] or file,
        int(line) if line.isdigit() else 1,
        parts[1] if inside else "",
        ".".join(parts[2:]) if inside else place,
        error.text,
        error.hint,
    )


class _Linter:
    """The checks that look at one node at a time."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.configs: dict[str, Any] = {}
        """The validated config of every node and connection that has a good one."""

    def entries(self, section: str, entries: Mapping[str, Entry]) -> Iterator[Finding]:
        """Types that are not known, options that are wrong, nodes that are switched off."""
        for name, entry in entries.items():
            place: Place = (section, name)
            if entry.disabled and not entry.bypassed:
                text = "It is disabled."
                if section == "connections":
                    text = "It is disabled: what uses it reads and writes nothing meanwhile."
                yield self.found("warning", place, (), text, "")
            try:
                cls = registry.node_class(entry.type)
            except ConfigError as error:
                yield self.found("error", place, ("type",), error.text, error.hint)
                continue
            if entry.type in registry.MOVED:
                new = registry.MOVED[entry.type]
                text = f"{entry.type!r} is called {new!r} now."
                yield self.found("warning", place, ("type",), text, f"Write `type: {new}`.")
            if (cls.kind == "connection") != (section == "connections"):
                right = "connections" if cls.kind == "connection" else "nodes"
                text = f"{entry.type!r} does not belong under `{section}`."
                yield self.found("error", place, ("type",), text, f"Move it to `{right}`.")
            yield from self.config(place, cls, entry.config)

    def config(
        self, place: Place, cls: type[Node[Any]], config: Mapping[str, Any]
    ) -> Iterator[Finding]:
        clear = set(_clear_secrets(config, ()))
        for path, text, hint in config_problems(cls.Config, config):
            if path in clear:
                continue  # Said by `secrets`, which does not repeat the secret.
            if text.startswith("There is no option") and len(path) == 1:
                hint = _unknown_option(str(path[0]), cls.Config.model_fields)
            yield self.found("error", place, path, text, hint)
        try:
            self.configs[str(place[1])] = cls.Config.model_validate(dict(config))
        except ValidationError:
            return  # Told above, option by option.

    def connections(self) -> Iterator[Finding]:
        """Connections that are missing, of another family, or used by no one."""
        document = self.document
        used: set[str] = set()
        for node, entry in document.nodes.items():
            cls = document.class_of(node)
            if cls is None:  # Which option names a connection cannot be known.
                used.update(value for value in entry.config.values() if isinstance(value, str))
            for name in _connection_fields(cls):  # type: ignore[arg-type]  # a class is hashable
                wanted = entry.config.get(name)
                if not isinstance(wanted, str):
                    continue
                used.add(wanted)
                place: Place = ("nodes", node)
                if wanted not in document.connections:
                    hint = near(wanted, document.connections) or "Add it under `connections:`."
                    text = f"There is no connection {wanted!r}."
                    yield self.found("error", place, (name,), text, hint)
                    continue
                family = entry.type.partition(".")[0]
                other = document.connections[wanted].type
                if other.partition(".")[0] != family:
                    text = f"{wanted!r} is a {other}, but this node needs a {family}.connection."
                    yield self.found("error", place, (name,), text, "Name another connection.")
        for name in document.connections:
            if name not in used:
                text = "No node uses this connection."
                yield self.found(
                    "warning", ("connections", name), (), text, "Delete it or name it."
                )

    def writes(self) -> Iterator[Finding]:
        """Nodes that can change the plant, in a flow that does not say so."""
        if self.document.allow_write:
            return
        for node, entry in self.document.nodes.items():
            cls = self.document.class_of(node)
            if cls is not None and cls.writes and not entry.disabled:
                yield self.found(
                    "error",
                    ("nodes", node),
                    (),
                    f"{entry.type} can change the plant, and this flow is not allowed to.",
                    "Write `allow_write: true` at the top if that is meant.",
                )

    def secrets(self, written: Document) -> Iterator[Finding]:
        """Secrets in clear: a password in a file is a password in every copy of it."""
        for section in ("connections", "nodes"):
            entries: Mapping[str, Entry] = getattr(written, section)
            for name, entry in entries.items():
                for path in _clear_secrets(entry.config, ()):
                    yield self.found(
                        "error",
                        (section, name),
                        path,
                        "A secret stands here in clear.",
                        "Leave it out of the URL; see `genba docs secrets`."
                        if path[-1] == "url"
                        else "Write {secret: a_name}; `genba docs secrets` says where it is kept.",
                    )

    def found(
        self, severity: Any, place: Place, path: tuple[str | int, ...], text: str, hint: str
    ) -> Finding:
        line = self.document.line(*place, *path)
        field = ".".join(map(str, path))
        return Finding(severity, self.document.file, line, str(place[1]), field, text, hint)


def _unknown_option(name: str, known: Iterable[str]) -> str:
    """What to do about an option that is not there."""
    option, colon, value = name.partition(":")
    if name.isdigit():
        return "Write decimals with a point, such as 7.5."
    if colon and option in known:
        return f"Write a space behind the colon: `{option}: {value}`."
    return near(name, known)


@cache
def _connection_fields(cls: type[Node[Any]] | None) -> tuple[str, ...]:
    """Options that name a connection, by their widget; a schema takes longer than all the rest."""
    if cls is None:
        return ()
    properties = cls.Config.model_json_schema().get("properties", {})
    return tuple(
        name
        for name, part in properties.items()
        if any(p.get("widget") == "connection" for p in (part, *part.get("anyOf", ())))
    )


def _clear_secrets(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            here = (*path, str(key))
            named = any(word in str(key).lower() for word in _SECRET_WORDS)
            if named and isinstance(item, str) and item:
                if key != "secret":  # {secret: name} is the reference itself
                    yield here
            elif key == "url" and isinstance(item, str) and _has_password(item):
                yield here
            else:
                yield from _clear_secrets(item, here)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _clear_secrets(item, (*path, i))


def _has_password(url: str) -> bool:
    """True for ``mqtt://user:password@host``."""
    rest = url.partition("://")[2].partition("/")[0]
    user, at, _ = rest.rpartition("@")
    return bool(at) and ":" in user


__all__ = ["Finding", "lint", "lint_file", "lint_text"]
