"""The help page of a node, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.flow.entries import Entry, entry_data
from gateway.flow.expression import FUNCTIONS
from gateway.flow.node import Example, Port
from gateway.flow.yaml_write import write

if TYPE_CHECKING:
    from gateway.flow.spec import Field, Spec

_STAGES = {
    "experimental": "Experimental: it may change.",
    "beta": "Beta: it works and may still change a little.",
    "stable": "Stable: its options and its stored state keep their meaning.",
}


def page_of(spec: Spec) -> str:
    """The page of one node."""
    lines = [f"# {spec.name}", "", spec.paragraphs[""], ""]
    article = "An" if spec.kind[0] in "aeiou" else "A"
    about = f"{article} {spec.kind}. {_STAGES[spec.stage]}"
    if spec.writes:
        about += " It can change the plant, so the flow must say `allow_write: true`."
    lines += [about, ""]
    lines += _ports("Takes", spec.inputs)
    lines += _ports("Gives", spec.outputs)
    lines += _options(spec)
    for heading, text in spec.paragraphs.items():
        if heading:
            lines += [f"## {heading}", "", text[:1].upper() + text[1:], ""]
    if spec.examples:
        lines += ["## Examples", ""]
        for example in spec.examples:
            lines += _example(spec, example)
    return "\n".join(lines).rstrip() + "\n"


def index_of(specs: list[Spec]) -> str:
    """The list of all nodes, by family."""
    lines = ["# Nodes", ""]
    family = ""
    for spec in specs:
        if spec.name.partition(".")[0] != family:
            family = spec.name.partition(".")[0]
            lines += ["", f"## {family}", "", "| node | kind | what it does |", "| - | - | - |"]
        lines.append(f"| [{spec.name}]({spec.name}.md) | {spec.kind} | {_cell(spec.summary)} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _ports(title: str, ports: tuple[Port, ...]) -> list[str]:
    if not ports:
        return []
    rows = [f"| `{port.name}` | {port.carries} | {_cell(port.about)} |" for port in ports]
    return [f"## {title}", "", "| port | carries | meaning |", "| - | - | - |", *rows, ""]


def _options(spec: Spec) -> list[str]:
    if not spec.fields:
        return ["## Options", "", "None.", ""]
    head = ["| option | unit | default | meaning |", "| - | - | - | - |"]
    lines = ["## Options", "", *head, *(_row(field) for field in spec.fields), ""]
    for field in spec.fields:
        if field.fields:
            title = "Each row of" if field.widget == "table" else "Inside"
            lines += [f"### {title} `{field.name}`", "", *head]
            lines += [*(_row(inner) for inner in field.fields), ""]
    return lines


def _row(field: Field) -> str:
    default = "required" if field.required else _default(field.default)
    meaning = " ".join([field.sentence, *_bounds(field)])
    return f"| `{field.name}` | {_cell(field.unit)} | {_cell(default)} | {_cell(meaning)} |"


def _default(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bounds(field: Field) -> Iterator[str]:
    """What may be written, where the sentence need not say it."""
    if field.choices:
        yield "One of " + ", ".join(f"`{choice}`" for choice in field.choices) + "."
    low = "" if field.low is None else f"{field.low:g}"
    high = "" if field.high is None else f"{field.high:g}"
    more, less = field.exclusive in ("low", "both"), field.exclusive in ("high", "both")
    if low and high and not more and not less:
        yield f"{low} to {high}."
        return
    if low:
        yield f"{'More than' if more else 'At least'} {low}."
    if high:
        yield f"{'Less than' if less else 'At most'} {high}."


def _example(spec: Spec, example: Example) -> list[str]:
    entry = entry_data(Entry(spec.name, dict(example.config)))
    name = spec.name.rpartition(".")[2]
    section = "connections" if spec.kind == "connection" else "nodes"
    text = write({section: {name: entry}}, sections=(section,))
    lines = [f"### {example.title}", "", "```yaml", text.rstrip(), "```", ""]
    if example.given is not None:
        facts = [f"{tag}: {json.dumps(dict(known))}" for tag, known in example.tags.items()]
        if facts:
            lines += ["Known of the tags:", "", "```text", *facts, "```", ""]
        lines += _shown("Given", example.given)
        if example.until is not None:
            lines += [f"And until {example.until}.", ""]
        lines += _shown("Comes out", example.expect)
    return lines


def _shown(title: str, text: str | Mapping[str, str] | None) -> list[str]:
    if text is None:
        return []
    ports = {"": text} if isinstance(text, str) else text
    lines: list[str] = []
    for port, rows in ports.items():
        shown = rows.strip() or "(nothing)"
        head = f"{title} ({port}):" if port else f"{title}:"
        lines += [head, "", "```text", *(row.strip() for row in shown.splitlines()), "```", ""]
    return lines


def _cell(text: str) -> str:
    """Text for a table: on one line, its bars escaped."""
    return " ".join(str(text).split()).replace("|", "\\|")


def functions_table() -> str:
    """The functions of the expression language, as a table for its guide."""
    rows = ["| function | gives |", "| - | - |"]
    for name, (_, least, most, sentence) in sorted(FUNCTIONS.items()):
        names = ("x", "y", "z")[:least] if least == most else ("x", "y", "...")
        text, _, call = sentence.removesuffix(".").partition(": ")
        call = call if call.startswith(f"{name}(") else f"{name}({', '.join(names)})"
        rows.append(f"| `{call}` | {_cell(text)}. |")
    return "\n".join(rows) + "\n"


__all__ = ["functions_table", "index_of", "page_of"]
