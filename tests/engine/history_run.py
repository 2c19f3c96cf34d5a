"""History in a process of its own, for being killed: it says what is written, and goes on.

history_run FOLDER FIRST
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.engine.history_recorder import Recorder
from tests.engine.gear import NS, T0

TAGS = 40


def main(folder: Path, first: int) -> None:
    tags = TagTable()
    codes = np.array([tags.code(f"t{i}") for i in range(TAGS)], np.uint16)
    recorder = Recorder(folder, tags)
    recorder.days.cut_all_tails()
    for second in range(first, first + 100_000):
        ts = np.full(TAGS, T0 + second * NS)
        recorder.take(Batch(codes, ts, codes + float(second), np.zeros(TAGS, np.uint32)))
        recorder.flush(T0 + second * NS)
        if second % 10 == 9:
            recorder.begin_cut()
            while recorder.cut_some():
                pass
        print(second, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
