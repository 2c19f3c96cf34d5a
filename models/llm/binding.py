"""The binding to llama.cpp: which is there, and how it comes onto a machine.

llama-cpp-python has no prebuilt wheels, and its own build takes eleven minutes and leaves 60 MB.
We need the library alone, so only its target is compiled, for any CPU with AVX2, and packed with
the package's Python files into a wheel of 4 MB, which is kept for the next environment.

Source: llama-cpp-python 0.3.36, CMakeLists.txt; binary distribution format, PEP 427.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

VERSION: Final = "0.3.36"
_PACKAGE: Final = "llama_cpp"
_OPTIONS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_NATIVE=OFF",  # The wheel may be used on another machine.
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_COMMON=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
)
_LIBRARIES: Final = ("libllama.so", "libggml.so.0", "libggml-base.so.0", "libggml-cpu.so.0")
"""The first is loaded by name, the others are asked for by it under these."""
_STEP: Final = re.compile(r"\[(\d+)/(\d+)\]")
Say = Callable[[str], None]


class Failed(Exception):  # noqa: N818 - what happened, for people
    """The binding cannot be had here; the message says why and what to do."""


def installed() -> str:
    """The binding that this environment has: ``llama_cpp``, or an empty text for none."""
    return _PACKAGE if importlib.util.find_spec(_PACKAGE) is not None else ""


def cache() -> Path:
    """Where wheels are kept between environments."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "genba" / "wheels"


def wheel_name() -> str:
    """Of the slim wheel for this machine; it serves every Python 3."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"llama_cpp_python-{VERSION}-py3-none-{platform}.whl"


def install(say: Say, *, jobs: int = 2) -> str:
    """Have a binding in this environment; returns what was done, in a sentence.

    The kept wheel is taken where there is one, else it is built.

    Args:
        say: Told each step, and each further percent of the build.
        jobs: Compilers at once.

    Raises:
        Failed: It cannot be had here.
    """
    kept = cache() / wheel_name()
    if kept.is_file():
        say(f"Taking the wheel that was built before: {kept}")
        _pip("install", str(kept))
        return f"llama-cpp-python {VERSION} is installed from the wheel built before."
    if shutil.which("c++") is None and shutil.which("g++") is None:
        raise Failed(
            "There is no C++ compiler on this machine. Install one (sudo apt-get install g++), or "
            f"copy {wheel_name()} from a machine of the same kind to {cache()}."
        )
    build(kept, say, jobs)
    _pip("install", str(kept))
    return f"llama-cpp-python {VERSION} is built and installed; the wheel is kept as {kept}."


def build(wheel: Path, say: Say, jobs: int) -> None:
    """Compile llama.cpp and pack the slim wheel.

    Raises:
        Failed: A step failed; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="genba-llm-") as name:
        folder = Path(name)
        say(f"Fetching the sources of llama-cpp-python {VERSION} (75 MB) …")
        flags = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", name)
        tools = _tools(folder)
        _pip("download", f"llama-cpp-python=={VERSION}", *flags, path=tools)
        (archive,) = folder.glob("llama_cpp_python-*.tar.gz")
        # Debian 12 has Python 3.11.2, whose tarfile knows no filters; to build it is to trust it.
        safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(archive) as tar:
            tar.extractall(folder, **safe)  # noqa: S202
        source = folder / f"llama_cpp_python-{VERSION}"
        say("Compiling llama.cpp; this takes some minutes, and everything else runs meanwhile …")
        _compile(source / "vendor" / "llama.cpp", folder / "build", tools, say, jobs)
        pack(source, folder / "build" / "bin", wheel)


def pack(source: Path, libraries: Path, wheel: Path) -> None:
    """Put the Python files and the libraries into one wheel, whole or not at all.

    Args:
        source: The unpacked sources of llama-cpp-python.
        libraries: Folder of what was compiled.
        wheel: The file to write.
    """
    files: dict[str, bytes] = {}
    for path in sorted((source / _PACKAGE).glob("*")):
        if path.is_file() and path.suffix in (".py", ".typed") and "mtmd" not in path.name:
            files[f"{_PACKAGE}/{path.name}"] = path.read_bytes()
    for name in _LIBRARIES:
        files[f"{_PACKAGE}/lib/{name}"] = _stripped(libraries / name)
    info = f"llama_cpp_python-{VERSION}.dist-info"
    files[f"{info}/METADATA"] = (source / "PKG-INFO").read_bytes()
    files[f"{info}/licenses/LICENSE.md"] = (source / "LICENSE.md").read_bytes()
    tag = "-".join(wheel.stem.split("-")[2:])
    head = f"Wheel-Version: 1.0\nGenerator: genba\nRoot-Is-Purelib: false\nTag: {tag}\n"
    files[f"{info}/WHEEL"] = head.encode()
    rows = [f"{name},{_sum(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    wheel.parent.mkdir(parents=True, exist_ok=True)
    fresh = wheel.with_name(f"{wheel.name}.{os.getpid()}")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            out.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    fresh.replace(wheel)


def _sum(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"


def _stripped(library: Path) -> bytes:
    """A library without what only a debugger reads, where that can be done."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / library.name
        shutil.copyfile(library, copy)
        if (strip := shutil.which("strip")) is not None:
            subprocess.run([strip, "--strip-unneeded", str(copy)], check=False)
        return copy.read_bytes()


def _tools(folder: Path) -> str:
    """A search path with cmake and ninja on it, fetched where the machine lacks them.

    Raises:
        Failed: They cannot be had.
    """
    path = os.environ.get("PATH", os.defpath)
    wanted = [name for name in ("cmake", "ninja") if shutil.which(name) is None]
    home = folder / "tools"
    # What reads the sources' metadata, beside what compiles them.
    _pip("install", "--target", str(home), "scikit-build-core[pyproject]>=0.9.2", *wanted)
    os.environ["PYTHONPATH"] = f"{home}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return f"{home / 'bin'}{os.pathsep}{path}"


def _compile(source: Path, target: Path, path: str, say: Say, jobs: int) -> None:
    configure = ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(target), *_OPTIONS]
    if sysconfig.get_platform().endswith("x86_64") and not _has_avx2():
        configure += [f"-DGGML_{name}=OFF" for name in ("AVX", "AVX2", "FMA", "F16C", "BMI2")]
    for _ in _output(configure, path):
        pass
    last = -1
    for line in _output(["ninja", "-C", str(target), "-j", str(jobs), "llama"], path):
        if found := _STEP.match(line):
            percent = 100 * int(found[1]) // int(found[2])
            if percent != last:
                say(f"Compiling llama.cpp: {percent} %")
            last = percent


def _has_avx2() -> bool:
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return True


def _pip(verb: str, *words: str, path: str = "") -> None:
    command = [sys.executable, "-m", "pip", verb, "--disable-pip-version-check", *words]
    for _ in _output(command, path or os.environ.get("PATH", os.defpath)):
        pass


def _output(command: Sequence[str], path: str) -> Iterator[str]:
    """The lines a program says.

    Raises:
        Failed: It did not end well.
    """
    kept: list[str] = []
    try:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PATH": path},
            preexec_fn=lambda: os.nice(10),  # No thread of ours runs here.
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                kept = [*kept[-15:], line.rstrip()]
                yield line
    except FileNotFoundError as error:
        raise Failed(f"{command[0]} is not there: {error}.") from error
    if running.returncode:
        words = "\n  ".join(kept)
        raise Failed(f"{' '.join(command[:4])} ended with {running.returncode}:\n  {words}")


__all__ = ["VERSION", "Failed", "build", "cache", "install", "installed", "pack", "wheel_name"]
