"""The child process that runs a language model: it reads one file, calculates, and does no more.

Lines of JSON come on standard input and go out on standard output, one object each:

    in    {"do": "load", "file": …, "size": …, "sha256": …, "context": …, "threads": …,
           "memory_bytes": …, "nice": …, "is_trusted": …}
          {"do": "ask", "id": 7, "messages": [[role, text], …], "schema": …, "grammar": …,
           "tokens_max": …, "temperature": …, "seed": …, "cpu_s": …}
          {"do": "stop", "id": 7}
    out   {"is": "ready", "jail": […], "name": …, "took": …} or {"is": "refused", "text": …}
          {"is": "piece", "id": 7, "text": …}
          {"is": "done", "id": 7, "tokens_in": …, "tokens_out": …, "is_cut": …}
          {"is": "failed", "id": 7, "why": "refused" | "stopped" | "broken", "text": …}

It has no clock: whoever asks says when to stop, and ends the process when it does not. When
standard input ends, so does it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, Final

from models.llm import gguf, jail
from models.llm.llama import Llama, Refused, Stop, Stopped

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
_MB: Final = 1 << 20
_WARM: Final = {"tokens_max": 1, "temperature": 0.0, "seed": 1}


class Worker:
    """One model and the questions to it, in order.

    Args:
        lines: Where questions come from.
        out: Where answers go.
    """

    def __init__(self, lines: BinaryIO, out: BinaryIO) -> None:
        self._lines = lines
        self._out = out
        self._asked: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._stop = Stop()
        self._lock = threading.Lock()
        self._current: int | None = None
        self._unwanted: set[int] = set()

    def run(self) -> int:
        """Load what the first line says and answer until there are no more lines."""
        order = self._next()
        if order is None:
            return 0
        try:
            model, taken = self._loaded(order)
        except (OSError, ValueError, MemoryError, RuntimeError) as error:
            self._say({"is": "refused", "text": str(error) or type(error).__name__})
            return 3
        self._say({"is": "ready", "jail": taken})
        threading.Thread(target=self._listen, daemon=True).start()
        while (ask := self._asked.get()) is not None:
            self._answer(model, ask)
        return 0

    # ------------------------------------------------------------------ the model

    def _loaded(self, order: Mapping[str, Any]) -> tuple[Llama, list[str]]:
        """Lock the door first, then look at the file."""
        path = str(order["file"])
        own = [str(Path(__file__).parents[1]), path]
        if getattr(sys, "frozen", False):  # Modules are read out of the program, when imported.
            own += [sys.executable, str(Path(sys.executable).parent)]
        taken = jail.enter(own, int(order["memory_bytes"]), int(order["nice"]))
        if not jail.is_cut_off(taken) and not order.get("is_trusted"):
            raise ValueError(
                "this machine offers no way to lock a process away from the network, and the "
                "model is not ours"
            )
        importlib.import_module("llama_cpp")  # It opens /dev/null to write; below nothing may.
        if jail.no_writing():
            taken.append("read-only")
        jail.allow_cpu(float(order.get("cpu_s", 600.0)))
        _fits(Path(path), int(order["memory_bytes"]))
        _check(Path(path), int(order["size"]), str(order["sha256"]))
        model = self._model(path, order)
        # One word, so that all that is loaded when it is needed is there before the files go.
        model.answer({**_WARM, "messages": [["user", "."]]}, lambda text: None)
        if jail.no_opening():
            taken.append("no-files")
        return model, taken

    def _model(self, path: str, order: Mapping[str, Any]) -> Llama:
        """The model in memory.

        Raises:
            ValueError: The library does not take it.
        """
        room = int(order["memory_bytes"])
        try:
            return Llama(path, int(order["context"]), int(order["threads"]), self._stop)
        except (ValueError, MemoryError, RuntimeError) as error:
            # The library does not say why.
            said, kind = str(error) or type(error).__name__, gguf.about(Path(path)).architecture
            raise ValueError(
                f"llama.cpp does not take it ({said}). Either it does not know this kind ({kind}), "
                f"or with {order['context']} tokens (context) it needs more than "
                f"{room / _MB:.0f} MB (memory_mb)"
            ) from error

    def _answer(self, model: Llama, ask: Mapping[str, Any]) -> None:
        number = int(ask["id"])
        with self._lock:
            is_wanted = number not in self._unwanted
            self._unwanted.discard(number)
            self._stop.clear()
            self._current = number
        try:
            if not is_wanted:
                raise Stopped
            jail.allow_cpu(float(ask["cpu_s"]))
            model.answer(ask, lambda text: self._say({"is": "piece", "id": number, "text": text}))
            done = {"tokens_in": model.tokens_in, "tokens_out": model.tokens_out}
            self._say({"is": "done", "id": number, **done, "is_cut": model.is_cut})
        except Stopped:
            self._failed(number, "stopped", "It was stopped.")
        except Refused as error:
            self._failed(number, "refused", str(error))
        except (RuntimeError, ValueError, MemoryError, AssertionError) as error:
            self._failed(number, "broken", str(error) or type(error).__name__)
        finally:
            with self._lock:
                self._current = None

    def _failed(self, number: int, why: str, text: str) -> None:
        self._say({"is": "failed", "id": number, "why": why, "text": text[:500]})

    # ------------------------------------------------------------------ lines

    def _listen(self) -> None:
        """Take lines while the model calculates, so that it can be stopped."""
        while (line := self._next()) is not None:
            if line["do"] == "ask":
                self._asked.put(line)
                continue
            with self._lock:
                if self._current == line["id"]:
                    self._stop.set()
                elif self._current is None or self._current < line["id"]:
                    self._unwanted.add(int(line["id"]))
        self._stop.set()  # Nobody is there any more.
        self._asked.put(None)

    def _next(self) -> dict[str, Any] | None:
        line = self._lines.readline(LINE_BYTES_MAX)
        return dict(json.loads(line)) if line.endswith(b"\n") else None

    def _say(self, value: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._out.flush()


def _fits(path: Path, room: int) -> None:
    """The file alone is not too large for the memory that there may be.

    Raises:
        ValueError: It is.
    """
    least = jail.addresses() + path.stat().st_size
    if least > room:
        raise ValueError(
            f"it needs more than {least / _MB:.0f} MB and may have {room / _MB:.0f}; give it more "
            "by memory_mb"
        )


def _check(path: Path, size: int, wanted: str) -> None:
    """The file is the one that was chosen, and a whole GGUF.

    Raises:
        ValueError: It is not.
    """
    found = path.stat().st_size
    if found != size:
        raise ValueError(f"the file has {found} bytes, not {size}")
    if gguf.sha256(path) != wanted:
        raise ValueError("the file is not the one that was chosen: its SHA-256 is another")
    gguf.about(path)


def main() -> int:
    """Run the worker on standard input and output; returns the exit code."""
    # What native code prints must not stand between our lines.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        return Worker(sys.stdin.buffer, out).run()
    except ConnectionError:  # Who asked is gone.
        return 0


if __name__ == "__main__":
    sys.exit(main())
