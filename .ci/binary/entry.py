"""What the single binary runs: the command genba."""

import multiprocessing
import sys

from gateway.cli.main import main

if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(main())
