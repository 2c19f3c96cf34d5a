"""Runs the command line: ``python -m gateway``."""

from gateway.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
