"""Run the command line from a checkout: ``python cli.py run scenarios/quickstart.yaml``."""

from simulator.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
