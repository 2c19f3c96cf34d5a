"""``genba docs``: the help pages, in the terminal; ``--write`` makes those of the nodes anew."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError

HELP: Final = Path(str(files("ui"))) / "help"
NODES: Final = HELP / "nodes"
GRAFANA: Final = "grafana.json"
"""The dashboard for Grafana, which lies beside the guide about counters."""


def add(commands: Any) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("docs", help="read or write the help pages")
    parser.add_argument("topic", nargs="?", default="", help="a guide, such as start, or a node")
    parser.add_argument("--write", action="store_true", help="write the pages of all nodes anew")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a page, or write those of all nodes."""
    if args.write:
        changed = [*write_pages(), *write_guides()]
        print(f"{len(changed)} pages changed in {HELP}." if changed else "All pages are fresh.")
        return 0
    if not args.topic:
        print("Guides (genba docs NAME):")
        for path in sorted(HELP.glob("*.md")):
            title = path.read_text("utf-8").splitlines()[0].lstrip("# ")
            print(f"  {path.stem:<12} {title}")
        print("\nNodes: `genba nodes` lists them; `genba docs filter.deadband` shows one.")
        return 0
    _show(page(args.topic))
    return 0


def page(topic: str) -> str:
    """The text of a guide or of a node's page.

    Raises:
        ConfigError: There is neither.
    """
    from gateway.flow.findings import near
    from gateway.flow.registry import names
    from gateway.flow.spec import find_spec

    if topic == GRAFANA:
        return (HELP / GRAFANA).read_text("utf-8")
    known = {name.removesuffix(".md"): text for name, text in guides().items()}
    if topic in known:
        return re.sub(r"<!--.*?-->\n\n?", "", known[topic])
    spec = find_spec(topic) if "." in topic else None
    if spec is not None:
        return spec.page
    if any(name.startswith(f"{topic}.") for name in names()):
        hint = f"`genba nodes {topic}.` lists this family; `genba docs` lists the guides."
    else:
        otherwise = "`genba docs` lists the guides, `genba nodes` the nodes."
        hint = near(topic, [*known, *names()], otherwise)
    raise ConfigError(f"There is no page {topic!r}.", hint=hint)


def pages() -> dict[str, str]:
    """The pages of all nodes and their index, by file name."""
    from gateway.flow.page import index_of
    from gateway.flow.spec import all_specs

    specs = all_specs()
    return {**{f"{spec.name}.md": spec.page for spec in specs}, "index.md": index_of(specs)}


def stale(folder: Path = NODES) -> list[str]:
    """Names of pages that differ from what the nodes say, are missing, or are of no node."""
    wanted = pages()
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in wanted | found if wanted.get(name) != found.get(name))


def write_pages(folder: Path = NODES) -> list[str]:
    """Write every page that is stale and delete those of nodes that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    changed = stale(folder)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], "utf-8", newline="\n")
        else:
            (folder / name).unlink()
    return changed


def guides() -> dict[str, str]:
    """The guides as they should be: what is generated in them is made anew."""
    from gateway.api.exposition_names import metrics_table
    from gateway.flow.page import functions_table

    tables = {"functions": functions_table(), "metrics": metrics_table()}
    part = re.compile(rf"<!-- ({'|'.join(tables)}) -->.*?<!-- end -->", re.DOTALL)
    found = {path.name: path.read_text("utf-8") for path in sorted(HELP.glob("*.md"))}

    def made(was: re.Match[str]) -> str:
        return f"<!-- {was[1]} -->\n\n{tables[was[1]]}\n<!-- end -->"

    return {name: part.sub(made, text) for name, text in found.items()}


def write_guides(folder: Path = HELP) -> list[str]:
    """Write the guides whose generated part is stale."""
    changed = [
        name for name, text in guides().items() if (folder / name).read_text("utf-8") != text
    ]
    for name in changed:
        (folder / name).write_text(guides()[name], "utf-8", newline="\n")
    return changed


def _show(text: str) -> None:
    """Markdown for eyes in a terminal; as it is in a pipe."""
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))
