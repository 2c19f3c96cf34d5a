"""Lint of subflows, their instances and what is bypassed, as they are written.

What the nodes inside do is checked in the expanded flow; `placed` says of such a finding where
a person mends it: at the instance whose value is wrong, or in the subflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, Literal

from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.expand import bypass_of, instance_problems, references
from gateway.flow.findings import Finding, Severity, near
from gateway.flow.lint_wires import end_findings
from gateway.flow.subflow import FAMILY, SEPARATOR, Subflow, kind_of, subflow_of
from gateway.flow.yaml_read import Path as Place

_MEANS_THE_SAME = ("filter", "link")
"""Families whose nodes give on what came, or less of it."""
_NAMED_MAX = 3
_SIDES: Final[tuple[tuple[str, Literal["inputs", "outputs"]], ...]] = (
    ("given", "inputs"),
    ("expect", "outputs"),
)


def subflow_findings(document: Document) -> list[Finding]:
    """All that is wrong with subflows, instances and bypasses, before they are expanded."""
    found = list(_level(document, document, ()))
    for name, subflow in document.subflows.items():
        body = document.body(name)
        found += _level(document, body, ("subflows", name))
        found += _parameters(document, name, subflow)
        found += _ports(document, name, body)
    found += _recursion(document)
    if document.subflows or any(e.bypassed for e in document.nodes.values()):
        found += end_findings(document)
    found += _test_ends(document)
    return found


def _level(document: Document, level: Document, head: Place) -> Iterator[Finding]:
    """The nodes of the flow itself, or of one subflow."""
    for node, entry in level.nodes.items():
        place = (*head, "nodes", node)
        if SEPARATOR in node:
            text = f"{node!r} cannot be an id: {SEPARATOR} stands for a node inside a subflow."
            yield _at(document, "error", place, (), text, "Use letters, digits, - and _.")
        if subflow_of(entry.type) is not None:
            yield from _instance(document, place, entry)
        if entry.bypassed:
            yield from _bypass(document, level, place, entry)


def _instance(document: Document, place: Place, entry: Entry) -> Iterator[Finding]:
    """An instance: its type and its parameters."""
    for field, text, hint in instance_problems(document, entry):
        yield _at(document, "error", place, field, text, hint)
    subflow = document.subflows.get(str(subflow_of(entry.type)))
    for key, value in entry.config.items():
        parameter = subflow.parameters.get(key) if subflow is not None else None
        if parameter is None or parameter.kind is None or any(references(value)):
            continue
        kind = kind_of(value)
        if kind is not None and kind != parameter.kind:
            text = f"The parameter takes a {parameter.kind}, and this is a {kind}."
            yield _at(document, "error", place, (key,), text, parameter.about)
    if entry.disabled and not entry.bypassed:
        yield _at(document, "warning", place, (), "It is disabled.", "")


def _bypass(document: Document, level: Document, place: Place, entry: Entry) -> Iterator[Finding]:
    node = str(place[-1])
    family = entry.type.partition(".")[0]
    if level.ports_of(node, "inputs") is None:
        return  # The unknown type is told where it stands.
    if bypass_of(level, node) is None:
        text = "It cannot be bypassed: no output carries what its first input takes."
        yield _at(document, "error", place, ("disabled",), text, "Write `disabled: true`.")
    elif family in _MEANS_THE_SAME:
        text = "It is bypassed: what comes in goes on as it came."
        yield _at(document, "warning", place, ("disabled",), text, "")
    else:
        text = f"It is bypassed: what comes in goes on without what {entry.type} does to it."
        hint = "Look whether names, units and values still fit what follows."
        yield _at(document, "warning", place, ("disabled",), text, hint)


def _parameters(document: Document, name: str, subflow: Subflow) -> Iterator[Finding]:
    """Parameters that nothing uses, and names that look like one."""
    head: Place = ("subflows", name)
    used: set[str] = set()
    for node, entry in subflow.nodes.items():
        for option, value in entry.config.items():
            named = set(references(value))
            used |= named
            for unknown in sorted(named - subflow.parameters.keys()):
                if hint := near(unknown, subflow.parameters, " "):
                    if not hint.strip():
                        continue  # A variable of the gateway.
                    text = f"{unknown!r} is no parameter of the subflow, but a variable."
                    yield _at(document, "warning", (*head, "nodes", node), (option,), text, hint)
    for key in subflow.parameters:
        if key not in used:
            text = f"Nothing in the subflow uses the parameter {key!r}."
            hint = f"Write ${{{key}}} as the value of an option, or delete it."
            yield _at(document, "warning", (*head, "parameters", key), (), text, hint)
    kinds = {subflow_of(e.type) for e in document.nodes.values()}
    for other in document.subflows.values():
        kinds |= {subflow_of(entry.type) for entry in other.nodes.values()}
    if name not in kinds:
        text = "No node uses this subflow."
        hint = f"Write `type: {FAMILY}.{name}` in a node, or delete it."
        yield _at(document, "warning", head, (), text, hint)


def _ports(document: Document, name: str, body: Document) -> Iterator[Finding]:
    """Wires inside, and ports of the subflow that none of them reaches."""
    head: Place = ("subflows", name)
    yield from (replace(one, field=f"{FAMILY}s.{name}.wires") for one in end_findings(body))
    assert body.inside is not None
    begun = {wire.source for wire in body.wires}
    ended = {wire.target for wire in body.wires}
    for side, ports, wired in (
        ("inputs", body.inside.inputs, begun),
        ("outputs", body.inside.outputs, ended),
    ):
        for port in ports:
            if port not in wired:
                text = f"No wire inside the subflow goes {'from' if side == 'inputs' else 'to'} it."
                yield _at(document, "warning", (*head, side, port), (), text, "")


def _recursion(document: Document) -> Iterator[Finding]:
    """Subflows that contain themselves, each told once."""
    inner = {
        name: [kind for e in subflow.nodes.values() if (kind := subflow_of(e.type)) is not None]
        for name, subflow in document.subflows.items()
    }
    for name in inner:
        seen: set[str] = set()
        waiting = list(inner[name])
        while waiting:
            kind = waiting.pop()
            if kind not in seen:
                seen.add(kind)
                waiting += inner.get(kind, [])
        if name in seen:
            text = "This subflow contains itself."
            yield _at(document, "error", ("subflows", name), (), text, "Take one out.")


def _test_ends(document: Document) -> Iterator[Finding]:
    """Ends of tests at instances that mean no port."""
    for i, test in enumerate(document.tests):
        for key, side in _SIDES:
            for end in getattr(test, key):
                node, _, wanted = end.partition(".")
                entry = document.nodes.get(node)
                if entry is None or subflow_of(entry.type) is None:
                    continue
                ports = [port.name for port in document.ports_of(node, side) or ()]
                if wanted not in ("", *ports) or not ports:
                    text = f"{node!r} has no {side[:-1]} {wanted!r}."
                    line = document.line("tests", i, key, end)
                    field = f"tests.{i}.{key}.{end}"
                    hint = near(wanted, ports)
                    yield Finding("error", document.file, line, "", field, text, hint)


def placed(findings: Iterable[Finding], document: Document) -> list[Finding]:
    """Findings of an expanded flow, told where a person mends them.

    Args:
        findings: What lint found in the expanded flow.
        document: That flow.
    """
    found: list[Finding] = []
    inside: dict[tuple[Any, ...], list[Finding]] = {}
    for one in findings:
        origin = document.origins.get(one.node)
        if origin is None:
            found.append(one)
            continue
        place = origin.given.get(one.field.partition(".")[0])
        if place is None or one.text.startswith("There is no option"):
            key = (one.severity, one.line, origin.subflow, origin.node, one.field, one.text)
            inside.setdefault(key, []).append(one)
            continue
        node, option = place
        text = f"{one.text} (It is {origin.node}.{one.field} in the subflow {origin.subflow}.)"
        line = document.lines.get(("nodes", *place), one.line)
        found.append(replace(one, node=node, field=option, line=line, text=text))
    for key, same in inside.items():
        names = [str(document.origins[one.node].instance) for one in same]
        more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
        where = f"(In the subflow {key[2]}, used by {', '.join(names[:_NAMED_MAX])}{more}.)"
        found.append(replace(same[0], text=f"{same[0].text} {where}"))
    return found


def boxes_of(document: Document) -> Iterator[str]:
    """Names under which a layout places what stands inside subflows: ``subflow.hot/clean``."""
    for name, subflow in document.subflows.items():
        for box in (*subflow.nodes, *subflow.inputs, *subflow.outputs):
            yield f"{FAMILY}.{name}{SEPARATOR}{box}"


def _at(
    document: Document, severity: Severity, place: Place, path: Place, text: str, hint: str
) -> Finding:
    """A finding at a node of the flow, or at a place inside a subflow."""
    line = document.line(*place, *path)
    if place[0] == "nodes":
        node, field = str(place[1]), ".".join(map(str, path))
    else:
        node, field = "", ".".join(map(str, (*place, *path)))
    return Finding(severity, document.file, line, node, field, text, hint)


__all__ = ["boxes_of", "placed", "subflow_findings"]
