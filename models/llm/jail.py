"""A jail for a process that reads a file which nobody here wrote, and calculates.

It gives away what such a process does not need: the network, other programs, other processes,
every file but its own code and the model, and most of the processor. Each step is taken where
the kernel offers it; `enter` says which were.

Source: seccomp(2), landlock(7), unshare(2), prctl(2), capabilities(7), sched(7) of Linux 6.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from models.llm.syscalls import ARCH, CLONE, NETWORK, NEVER, OPEN, OPENAT, TGKILL, WRITING, number

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_NEWUSER, _NEWNET, _NEWIPC = 0x10000000, 0x40000000, 0x08000000
_CLONE_THREAD: Final = 0x10000
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TSYNC: Final = 1
_READ_FILE, _READ_DIR, _EXECUTE, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 0, 1 << 1
_LANDLOCK_FS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Which accesses to files each version of the interface knows."""


def enter(readable: Iterable[str], memory_bytes: int, nice: int = 19) -> list[str]:
    """Give away what is not needed; there is no way back.

    Args:
        readable: Files and folders that may be read, beside Python and its packages.
        memory_bytes: How much address space there may be.
        nice: How far behind others it stands, 1 to 19.

    Returns: the steps that were taken.
    """
    taken = _limits(memory_bytes, nice)
    if not sys.platform.startswith("linux"):
        return taken
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")  # We go first, not others.
    _LIBC.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        taken.append("no-new-privileges")
    _LIBC.prctl(_DUMPABLE, 0, 0, 0, 0)
    if not _LIBC.unshare(_NEWNET | _NEWIPC) or not _LIBC.unshare(_NEWUSER | _NEWNET | _NEWIPC):
        taken.append("network-namespace")
    if version := _landlock(readable):
        taken.append(f"landlock-{version}")
    if _drop_capabilities():
        taken.append("no-capabilities")
    if _filter(_denied(NETWORK + NEVER)):
        taken.append("seccomp")
    return taken


def is_cut_off(taken: Sequence[str]) -> bool:
    """Whether, with these steps, no way to the network is left."""
    return "seccomp" in taken or "network-namespace" in taken


def no_writing() -> bool:
    """From here on nothing can be opened to be written; True when that holds."""
    return _filter(_no_writes())


def no_opening() -> bool:
    """From here on nothing can be opened at all; True when that holds."""
    return _filter(_denied((OPEN, OPENAT, "openat2")))


def addresses() -> int:
    """How much address space this process has taken [bytes]; 0 where that is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


def allow_cpu(seconds: float) -> None:
    """So much more processor time may be used; who uses more is ended by the kernel."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 2
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limits(memory_bytes: int, nice: int) -> list[str]:
    """Bounds that every Unix has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for those who started us.
    os.umask(0o077)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    taken = []
    for what, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))
            taken.append(what)
    return ["limits"] if len(taken) == 4 else []


# ---------------------------------------------------------------- files


def _landlock(readable: Iterable[str]) -> int:
    """Leave only some files to be read; returns the version of the interface, 0 for none."""
    version = int(_syscall("landlock_create_ruleset", None, 0, 1))
    if version < 1:
        return 0
    fs = next(_LANDLOCK_FS[v] for v in (5, 3, 2, 1) if v <= version)
    net = 3 if version >= 4 else 0  # To bind and to connect, of TCP.
    scope = 3 if version >= 6 else 0  # Abstract sockets and signals of others.
    attr = struct.pack("QQQ", fs, net, scope)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = int(_syscall("landlock_create_ruleset", attr, size, 0))
    if rules < 0:
        return 0
    for path in (*_code(), *readable):
        _may(rules, path, _READ_FILE | _READ_DIR | _EXECUTE)
    _may(rules, os.devnull, _READ_FILE | _WRITE_FILE)
    done = _syscall("landlock_restrict_self", rules, 0) == 0
    os.close(rules)
    return version if done else 0


def _code() -> Iterable[str]:
    """Where Python, its packages, the libraries and facts about the processor are."""
    yield from {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "platlib")}
    yield sysconfig.get_paths()["purelib"]
    yield str(Path(sys.base_prefix) / "lib")
    yield from ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
    yield from ("/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu")
    yield from ("/dev/urandom", "/etc/localtime", "/usr/share/zoneinfo")


def _may(rules: int, path: str, access: int) -> None:
    try:
        file = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            access &= ~_READ_DIR
        _syscall("landlock_add_rule", rules, 1, struct.pack("=Qi", access, file), 0)
    finally:
        os.close(file)


def _drop_capabilities() -> bool:
    """Also root has none of its powers then."""
    head = struct.pack("Ii", 0x20080522, 0)
    return int(_syscall("capset", head, bytes(24))) == 0


# ---------------------------------------------------------------- system calls

_LD, _JEQ, _JSET, _RET = 0x20, 0x15, 0x45, 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000
_NR, _ARCH_AT, _ARGS = 0, 4, 16


def _step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, k)


def _refuse(error: int) -> bytes:
    return _step(_RET, _REFUSE | error)


def _denied(names: Sequence[str]) -> list[bytes]:
    """Refuse these calls, and new processes while threads stay possible."""
    steps = [_step(_LD, _NR)]
    for name in names:
        if (nr := number(name)) is not None:
            steps += [_step(_JEQ, nr, 0, 1), _refuse(errno.EPERM)]
    steps += _calls_with(CLONE, 0, [_step(_JSET, _CLONE_THREAD, 1, 0), _refuse(errno.EPERM)])
    # Its flags lie where a filter cannot look; the library takes the older call then.
    steps += _calls_with("clone3", 0, [_refuse(errno.ENOSYS)])
    own = [_step(_JEQ, os.getpid(), 1, 0), _refuse(errno.EPERM)]
    return steps + _calls_with(TGKILL, 0, own)


def _no_writes() -> list[bytes]:
    refused = [_step(_JSET, _WRITE_FLAGS, 0, 1), _refuse(errno.EROFS)]
    steps = [_step(_LD, _NR)]
    for name in (*WRITING, "openat2"):
        if (nr := number(name)) is not None:
            steps += [_step(_JEQ, nr, 0, 1), _refuse(errno.EROFS)]
    return steps + _calls_with(OPEN, 1, refused) + _calls_with(OPENAT, 2, refused)


def _calls_with(name: str, arg: int, steps: list[bytes]) -> list[bytes]:
    """For one call: look at the low half of an argument, then go on with its number again."""
    nr = number(name)
    if nr is None:
        return []
    body = [_step(_LD, _ARGS + 8 * arg), *steps, _step(_LD, _NR)]
    return [_step(_JEQ, nr, 0, len(body)), *body]


def _filter(steps: list[bytes]) -> bool:
    """Have the kernel look at every system call of all threads from here on."""
    if ARCH is None:
        return False
    head = [_step(_LD, _ARCH_AT), _step(_JEQ, ARCH, 1, 0), _refuse(errno.EPERM)]
    if platform.machine() == "x86_64":  # The same calls under other numbers.
        head += [_step(_LD, _NR), _step(_JSET, 0x40000000, 0, 1), _refuse(errno.EPERM)]
    program = b"".join([*head, *steps, _step(_RET, _ALLOW)])
    buffer = ctypes.create_string_buffer(program, len(program))
    code = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    return int(_syscall("seccomp", 1, _TSYNC, code)) == 0


def _syscall(name: str, *args: Any) -> int:
    nr = number(name)
    if nr is None:
        return -1
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return int(_LIBC.syscall(ctypes.c_long(nr), *words))


__all__ = ["addresses", "allow_cpu", "enter", "is_cut_off", "no_opening", "no_writing"]
