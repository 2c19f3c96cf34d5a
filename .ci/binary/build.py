"""Makes the single binary: ``make binary`` writes dist/genba-VERSION-ARCH.

A PyInstaller tree behind a few lines of shell; see head.sh for what happens when it is started
and gateway/decisions/0040-binary.md for why it is not made otherwise.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "build" / "binary"
DATA = {
    "gateway": ("locale",),
    "ui": ("built", "help", "fonts", "locale", "licences.json"),
    "models": ("explainer",),
    ".": ("flows", "systemd", "ansible", "LICENSE"),
}
PACKAGES = ("gateway", "nodes", "models", "ui")
ALSO = ("amqtt", "serial.urlhandler.protocol_socket", "serial.urlhandler.protocol_rfc2217")
WHOLE = ("llama_cpp", "xllamacpp")
"""Packages with libraries that PyInstaller does not see; taken when they are installed."""
METADATA = ("genba", "amqtt", "llama-cpp-python", "xllamacpp")


def main() -> None:
    """Build it."""
    version = importlib.metadata.version("genba")
    arch = platform.machine()
    tree = frozen()
    clean(tree)
    payload = packed(tree)
    target = ROOT / "dist" / f"genba-{version}-{arch}"
    target.parent.mkdir(exist_ok=True)
    glibc = needed_glibc(tree)
    write(target, payload, version, arch, glibc)
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    mb, unpacked_mb = target.stat().st_size / 1e6, size / 1e6
    name = target.relative_to(ROOT)
    print(f"{name}: {mb:.0f} MB, unpacked {unpacked_mb:.0f} MB, needs glibc {glibc}")


def frozen() -> Path:
    """The PyInstaller tree."""
    words = ["--noconfirm", "--clean", "--onedir", "--name", "genba", "--log-level", "WARN"]
    words += ["--distpath", str(WORK / "dist"), "--workpath", str(WORK / "work")]
    words += ["--specpath", str(WORK), "--paths", str(ROOT)]
    for name in METADATA:  # With the licence texts: `genba licences` reads them.
        if installed(name):
            words += ["--recursive-copy-metadata", name]
    for package in PACKAGES:
        words += ["--collect-submodules", package]
    for module in ALSO:
        words += ["--hidden-import", module]
    for package in WHOLE:
        if importlib.util.find_spec(package) is not None:
            words += ["--collect-all", package]
    for folder, names in DATA.items():
        for name in names:
            path = ROOT / folder / name
            if path.exists():
                inside = folder if path.is_file() else f"{folder}/{name}"
                words += ["--add-data", f"{path}{os.pathsep}{inside}"]
    # Nobody edits lines here, and GNU readline would put the whole file under the GPL.
    for name in ("tkinter", "torch", "pytest", "IPython", "readline"):
        words += ["--exclude-module", name]
    words.append(str(HERE / "entry.py"))
    subprocess.run([sys.executable, "-m", "PyInstaller", *words], check=True)
    return WORK / "dist" / "genba"


def installed(name: str) -> bool:
    """Whether a distribution is in this environment."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def clean(tree: Path) -> None:
    """Take out what only building and testing needs."""
    for name in ("torch", "training"):
        for path in tree.rglob(name):
            if path.is_dir() and "explainer" in path.parts:
                shutil.rmtree(path)


def packed(tree: Path, level: int = 9) -> bytes:
    """The tree as tar.gz; the same tree gives the same bytes."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    archive = WORK / "tree.tar"
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as out:
        for path in sorted(tree.rglob("*")):
            out.add(path, str(path.relative_to(tree)), recursive=False, filter=plain)
    return gzip.compress(archive.read_bytes(), level, mtime=0)


def needed_glibc(tree: Path) -> str:
    """The newest glibc that any library of the tree asks for."""
    newest = (2, 17)
    for path in tree.rglob("*"):
        if path.is_file() and (".so" in path.name or path.name == "genba"):
            for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes()):
                newest = max(newest, (int(found[0]), int(found[1])))
    return f"{newest[0]}.{newest[1]}"


def write(target: Path, payload: bytes, version: str, arch: str, glibc: str) -> None:
    """The head and the payload in one file."""
    digest = hashlib.sha256(payload).hexdigest()
    values = {"VERSION": version, "ARCH": arch, "GLIBC": glibc, "SHA256": digest}
    values["LENGTH"] = str(len(payload))
    values |= {"HASH8": digest[:8]}
    text = (HERE / "head.sh").read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    length = len(text.replace("@OFFSET@", "00000").encode())
    text = text.replace("@OFFSET@", f"{length + 1:05d}")
    fresh = target.with_suffix(".new")
    fresh.write_bytes(text.encode() + payload)
    fresh.chmod(0o755)
    fresh.replace(target)


if __name__ == "__main__":
    main()
