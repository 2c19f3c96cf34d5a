"""`python -m gateway.plant` is `genba plant`, also where the command is not installed."""

from __future__ import annotations

import sys

from gateway.plant.main import main

if __name__ == "__main__":
    sys.exit(main())
