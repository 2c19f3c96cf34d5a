"""Style as a test: what we agreed not to do, with what to do instead.

Source: reference/style.md §9. The checks are tested themselves, on strings, at the end.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "nodes", "models", "ui")
LINES_MAX = 300
FUNCTION_LINES_MAX = 70
LINE_CHARS_MAX = 100
PROTOCOLS = ("asyncua", "pymodbus", "paho", "aiomqtt", "mqtt5")
_FAMILY = ("nodes/*/_*.py", "nodes/*/connection.py", "gateway/plant/*")
_SHELL = (
    "graph",
    "succession",
    "ingress",
    "egress",
    "workers",
    "host",
    "runtime",
    "connections",
    "shadow",
    "sift",
    "trial",
    "models_pool",
)


@dataclass(frozen=True)
class Ban:
    """A name that may stand only in some places.

    Args:
        names: Dotted names as they are called or imported.
        use: What to write instead.
        allowed: Patterns of files where it may stand.
    """

    names: tuple[str, ...]
    use: str
    allowed: tuple[str, ...] = ()


CALLS = (
    Ban(
        ("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter"),
        "gateway.engine.clock, or self.ctx.clock in a node",
        ("gateway/engine/clock.py",),
    ),
    Ban(
        ("datetime.now", "datetime.utcnow", "datetime.datetime.now", "datetime.datetime.utcnow"),
        "gateway.engine.clock, or self.ctx.clock in a node",
        ("gateway/engine/clock.py",),
    ),
    Ban(("time.sleep",), "asyncio.sleep"),
    Ban(
        ("create_task", "ensure_future", "asyncio.create_task", "asyncio.ensure_future"),
        "gateway.data.tasks, or self.ctx.start in a node",
        ("gateway/data/tasks.py",),
    ),
    Ban(
        ("httpx.AsyncClient",),
        "gateway.web.client: httpx loses a connection when it is cancelled twice",
        ("gateway/data/web.py",),
    ),
    Ban(("eval", "exec"), "the expression language, gateway.flow.expression"),
    Ban(("print",), "self.ctx.say, or a logger", ("gateway/cli/*", "gateway/plant/*")),
    Ban(
        tuple(f"random.{name}" for name in ("random", "randint", "choice", "uniform", "gauss")),
        "random.Random(seed) or numpy's default_rng(seed), with a seed from the config",
    ),
)
IMPORTS = (
    Ban(("pickle", "marshal", "shelve", "dill"), "arrays in npz, or JSON"),
    Ban(
        ("sqlite3", "aiosqlite"),
        "gateway.engine.store",
        ("gateway/engine/store*.py", "nodes/sqlite/*"),
    ),
    Ban(PROTOCOLS, "the family's helper, nodes/<family>/_*.py", _FAMILY),
    # Two families have serial ports, so the port belongs to none of them.
    Ban(("serial",), "nodes._line", ("nodes/_line.py",)),
)
# Written in two parts, so that this file does not find itself.
IGNORE = "# type: " + "ignore"
MARKS = re.compile(r"\b(" + "FIX" + "ME|XX" + "X|TO" + r"DO)\b(?!.*#\d)")
REASONED = re.compile(re.escape(IGNORE) + r"\[[a-z, -]+\]\s+# \w")
UNSEEDED = ("random.Random", "default_rng", "np.random.default_rng", "numpy.random.default_rng")
BROAD_ALLOWED = tuple(f"gateway/engine/{name}.py" for name in _SHELL)


def python_faults(path: str, text: str) -> Iterator[str]:
    """Everything in a product file that is banned where it stands, as ``line: sentence``."""
    tree = ast.parse(text)
    names = _imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _call_faults(path, node, names)
            case ast.Import() | ast.ImportFrom():
                yield from _import_faults(path, node)
            case ast.ExceptHandler():
                if _is_broad(node) and not _fits(path, BROAD_ALLOWED) and not _raises(node):
                    yield f"{node.lineno}: a broad except; name the errors that can happen"
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    limit = FUNCTION_LINES_MAX
                    yield f"{node.lineno}: {node.name} has {length} lines; {limit} at most"
            case _:
                pass
    yield from text_faults(text)
    if text.count("\n") > LINES_MAX:
        yield f"{LINES_MAX + 1}: the file has {text.count(chr(10))} lines; {LINES_MAX} at most"


def text_faults(text: str) -> Iterator[str]:
    """Marks of unfinished work, long lines and ignores without a reason: in any Python file."""
    for number, line in enumerate(text.splitlines(), 1):
        code = re.split(r"  # (?:type|noqa|pragma):", line)[0]  # A reason may be long.
        if len(code) > LINE_CHARS_MAX:
            yield f"{number}: the line has {len(line)} characters; {LINE_CHARS_MAX} at most"
        if found := MARKS.search(line):
            yield f"{number}: {found[1]} without an issue; write #12 behind it"
        if (at := line.find(IGNORE)) >= 0 and not REASONED.match(line[at:]):
            yield f"{number}: an ignore needs a code and a reason: {IGNORE}[code]  # why"


def markdown_faults(text: str) -> Iterator[str]:
    """A page has one title."""
    inside = False
    titles = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
        if not inside and line.startswith("# "):
            titles += 1
            if titles > 1:
                yield f"{number}: a second title; use ## below the first"


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local names with what they stand for: ``from time import time as t`` gives t: time.time."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
    return found


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _call_faults(path: str, node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    written = _dotted(node.func)
    head, _, rest = written.partition(".")
    full = f"{names.get(head, head)}{'.' + rest if rest else ''}"
    for ban in CALLS:
        hit = {written, full} & set(ban.names)
        if not hit and isinstance(node.func, ast.Attribute) and "create_task" in ban.names:
            hit = {node.func.attr} & {"create_task", "ensure_future"}
        if hit and not _fits(path, ban.allowed):
            yield f"{node.lineno}: {written}() is banned; use {ban.use}"
    if (written in UNSEEDED or full in UNSEEDED) and not node.args and not node.keywords:
        yield f"{node.lineno}: {written}() without a seed; take one from the config"


def _import_faults(path: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        modules = [node.module or ""] if node.level == 0 else []
    else:
        modules = [alias.name for alias in node.names]
    for module in modules:
        for ban in IMPORTS:
            if module.partition(".")[0] in ban.names and not _fits(path, ban.allowed):
                yield f"{node.lineno}: import of {module} is banned here; use {ban.use}"


def _is_broad(node: ast.ExceptHandler) -> bool:
    names = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(n is None or _dotted(n) in ("Exception", "BaseException") for n in names)


def _raises(node: ast.ExceptHandler) -> bool:
    """True when the handler ends by raising the same error again: it only cleans up."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _fits(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _python_files(*folders: str) -> list[str]:
    found = [p.relative_to(ROOT).as_posix() for f in folders for p in (ROOT / f).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path)


PRODUCT = _python_files(*PACKAGES)


@pytest.mark.parametrize("path", PRODUCT)
def test_product_file_is_tidy(path: str) -> None:
    faults = list(python_faults(path, (ROOT / path).read_text("utf-8")))
    assert not faults, "\n".join(f"{path}:{fault}" for fault in faults)


def test_test_files_are_tidy() -> None:
    faults = [
        f"{path}:{fault}"
        for path in _python_files("tests")
        for fault in text_faults((ROOT / path).read_text("utf-8"))
    ]
    assert not faults, "\n".join(faults)


def test_pages_have_one_title() -> None:
    pages = [p for f in (*PACKAGES, "flows", "tests") for p in (ROOT / f).rglob("*.md")]
    pages += list(ROOT.glob("*.md"))
    faults = [f"{p}:{fault}" for p in pages for fault in markdown_faults(p.read_text("utf-8"))]
    assert not faults, "\n".join(faults)


def test_every_module_is_used() -> None:
    """A module that no other imports is dead, unless it is a node, a command or a program."""
    used: set[str] = set()
    for path in PRODUCT:
        used |= _imports_of(path, (ROOT / path).read_text("utf-8"))
    dead = [p for p in PRODUCT if not _is_entry(p) and _module(p) not in used]
    assert not dead, f"Nobody imports these: {', '.join(dead)}. Use or delete them."


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_entry(path: str) -> bool:
    name = Path(path).name
    is_node = path.startswith("nodes/") and not name.startswith("_")
    is_declared = path.startswith(("gateway/cli/", "ui/pages/"))  # Found by name, as nodes are.
    return is_node or is_declared or name in ("__init__.py", "__main__.py")


def _imports_of(path: str, text: str) -> set[str]:
    """Modules that a file imports, also those named in a text for importlib or ``-m``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"\b(?:gateway|nodes|models|ui)(?:\.\w+)+", node.value))
    return found - {_module(path)}


# ---------------------------------------------------------------- the checks, on strings

WRONG = {
    "import time\nx = time.time()": "time.time",
    "from time import time as t\nx = t()": "t() is banned",
    "from datetime import datetime\nx = datetime.now()": "datetime.now",
    "import time\ntime.sleep(1)": "asyncio.sleep",
    "import asyncio\nasyncio.create_task(f())": "data.tasks",
    "loop.create_task(f())": "data.tasks",
    "try:\n    f()\nexcept Exception:\n    pass": "broad except",
    "try:\n    f()\nexcept:\n    pass": "broad except",
    "try:\n    f()\nexcept (ValueError, BaseException):\n    pass": "broad except",
    "import pickle": "npz",
    "from pickle import loads": "npz",
    "eval('1')": "expression",
    "print(1)": "ctx.say",
    "import sqlite3": "engine.store",
    "from asyncua import Client": "family's helper",
    "import serial.tools": "nodes._line",
    "import random\nx = random.random()": "seed",
    "import random\nx = random.Random()": "without a seed",
    "import numpy as np\nr = np.random.default_rng()": "without a seed",
    "x = 1  # TO" + "DO later": "without an issue",
    "x = f()  # type: " + "ignore": "a code and a reason",
    "x = f()  # type: " + "ignore[arg-type]": "a code and a reason",
    "x = '" + "a" * 100 + "'": "characters",
    "def f():\n" + "    x = 1\n" * 70: "70 at most",
    "x = 1\n" * 301: "300 at most",
}
RIGHT = (
    "import time\nx = time.strftime('%Y')",
    "import random\nx = random.Random(7)",
    "import numpy as np\nr = np.random.default_rng(seed=3)",
    "try:\n    f()\nexcept ValueError:\n    pass",
    "try:\n    f()\nexcept BaseException:\n    close()\n    raise",
    "x = 1  # TO" + "DO #12: later",
    "x = f()  # type: " + "ignore[arg-type]  # the port says so",
    "text = 'print(1) and eval are words here'",
    "def f():\n" + "    x = 1\n" * 69,
    "x = 1\n" * 300,
)


@pytest.mark.parametrize("text", WRONG)
def test_the_check_finds(text: str) -> None:
    faults = list(python_faults("nodes/filter/it.py", text))
    assert any(WRONG[text] in fault for fault in faults), faults


@pytest.mark.parametrize("text", RIGHT)
def test_the_check_lets_pass(text: str) -> None:
    assert not list(python_faults("nodes/filter/it.py", text))


def test_places_where_it_is_allowed() -> None:
    assert not list(python_faults("gateway/engine/clock.py", "import time\nx = time.time()"))
    assert not list(python_faults("nodes/opcua/_client.py", "import asyncua"))
    assert not list(python_faults("nodes/opcua/connection.py", "import asyncua"))
    assert list(python_faults("nodes/opcua/source.py", "import asyncua"))
    assert not list(python_faults("nodes/_line.py", "import serial"))
    assert list(python_faults("nodes/_line.py", "import asyncua"))
    assert list(python_faults("nodes/modbus/_link.py", "import serial"))
    assert not list(python_faults("gateway/cli/run.py", "print(1)"))


def test_titles() -> None:
    assert list(markdown_faults("# A\n\n# B\n")) == ["3: a second title; use ## below the first"]
    assert not list(markdown_faults("# A\n\n```\n# a comment\n```\n\n## B\n"))
