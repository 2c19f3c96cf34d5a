"""The jail, from inside: a process that tries what it must not be able to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINUX = sys.platform.startswith("linux")
PROGRAM = """
import json, os, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from models.llm import jail
taken = jail.enter([sys.argv[2]], 2 << 30)
found = {}
def tries(name, work):
    try:
        found[name] = repr(work())
    except BaseException as error:
        found[name] = type(error).__name__
def thread():
    made = threading.Thread(target=lambda: None); made.start(); made.join(); return "ran"
tries("thread", thread)
tries("socket", lambda: socket.socket().connect(("127.0.0.1", int(sys.argv[4]))))
tries("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53)))
tries("unix", lambda: socket.socketpair())
tries("name", lambda: socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)[0][4][0])
tries("fork", os.fork)
tries("program", lambda: os.execv("/bin/true", ["true"]))
tries("signal", lambda: os.kill(os.getppid(), 0))
tries("secret", lambda: open(sys.argv[3]).read())
tries("passwd", lambda: open("/etc/passwd").read())
tries("parent", lambda: open(f"/proc/{os.getppid()}/environ").read())
tries("model", lambda: open(sys.argv[2]).read())
tries("write", lambda: open("/tmp/genba-jail-test", "w"))
tries("environment", lambda: {k: v for k, v in os.environ.items() if "SECRET" in k})
tries("memory", lambda: len(bytearray(3 << 30)))
tries("files", lambda: [os.open(sys.argv[2], os.O_RDONLY) for _ in range(100)])
tries("priority", lambda: os.nice(0))
jail.no_writing()
tries("over", lambda: open(sys.argv[2], "a"))
tries("rename", lambda: os.rename(sys.argv[2], sys.argv[2] + ".x"))
jail.no_opening()
tries("later", lambda: open(sys.argv[2]).read())
os.write(1, json.dumps([taken, found]).encode())
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    import socket

    folder = tmp_path_factory.mktemp("jail")
    (folder / "model").write_text("weights")
    (folder / "secret").write_text("sesame")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        words = [str(ROOT), str(folder / "model"), str(folder / "secret"), port]
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROGRAM, *words],
            capture_output=True,
            timeout=60,
            env={},
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    taken, found = json.loads(done.stdout)
    return taken, found


pytestmark = pytest.mark.skipif(not LINUX, reason="The jail is made of what Linux has.")


def test_nothing_reaches_the_network(tried: tuple[list[str], dict[str, str]]) -> None:
    taken, found = tried
    assert "seccomp" in taken or "network-namespace" in taken
    for way in ("socket", "udp"):
        assert found[way].endswith("Error"), (way, found[way])
    if "seccomp" in taken:
        assert found["unix"] == "PermissionError"


def test_no_program_and_no_process_is_started(tried: tuple[list[str], dict[str, str]]) -> None:
    taken, found = tried
    if "seccomp" not in taken:
        pytest.skip("This kernel filters no system calls.")
    assert found["thread"] == "'ran'"
    for way in ("fork", "program", "signal"):
        assert found[way] == "PermissionError", (way, found[way])


def test_only_its_own_files_are_read(tried: tuple[list[str], dict[str, str]]) -> None:
    taken, found = tried
    assert found["model"] == "'weights'"
    if any(step.startswith("landlock") for step in taken):
        for way in ("secret", "passwd", "write", "parent"):
            assert found[way] == "PermissionError", (way, found[way])
    if "seccomp" in taken:
        assert found["over"] in ("OSError", "PermissionError")
        assert found["rename"] in ("OSError", "PermissionError")
        assert found["later"] == "PermissionError"


def test_it_has_bounds(tried: tuple[list[str], dict[str, str]]) -> None:
    _, found = tried
    assert found["memory"] == "MemoryError"
    assert found["files"] == "OSError"
    assert found["environment"] == "{}"
    assert int(found["priority"]) == 19
