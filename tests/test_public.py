"""The public API: what `gateway` exports is what it says, explained and complete."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import gateway


def test_all_is_sorted_and_exists() -> None:
    assert len(set(gateway.__all__)) == len(gateway.__all__)
    assert sorted(gateway.__all__) == sorted(n for n in gateway.__all__ if hasattr(gateway, n))


def test_nothing_else_is_imported_there(root: Path) -> None:
    tree = ast.parse((root / "gateway" / "__init__.py").read_text("utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(gateway.__all__)


@pytest.mark.parametrize("name", gateway.__all__)
def test_each_class_and_function_is_explained(name: str) -> None:
    value = getattr(gateway, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__, f"gateway.{name} has no docstring"
        first = value.__doc__.strip().split("\n\n")[0]
        assert first.rstrip()[-1] in ".])", first


def test_nodes_use_only_the_public_names(root: Path) -> None:
    """Nodes may not reach into gateway.data or gateway.flow, only into gateway itself."""
    wrong = []
    for path in sorted((root / "nodes").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway."):
                wrong.append(f"{path.relative_to(root)}:{node.lineno}: from {node.module}")
            if isinstance(node, ast.Import):
                wrong += [
                    f"{path.relative_to(root)}:{node.lineno}: import {alias.name}"
                    for alias in node.names
                    if alias.name.startswith("gateway.")
                ]
    assert not wrong, "\n".join(wrong)


def test_importing_it_starts_nothing_heavy(root: Path) -> None:
    """The core must not pull in the engine, the screens, pint or a protocol's library."""
    import subprocess
    import sys

    code = "import gateway, sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    heavy = {"gateway.engine", "nicegui", "pint", "asyncua", "pymodbus", "paho", "sqlite3"}
    assert "gateway" in loaded
    assert not heavy & loaded
