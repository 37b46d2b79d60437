"""Run the tests whose heavy parts are here, and say which parts are missing; in CI a missing part is a failure.

`make heavy` installs them. A check that needs a part registers it in `NEEDED`: the part, how it is recognised,
and the test that uses it, which `make test` leaves out because it takes minutes.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

# Part, to (a module or a program that shows it is here, the tests that need it).
NEEDED: dict[str, tuple[str, str]] = {
    "torch": ("torch", "tests/test_against_transformers.py"),
    "transformers": ("transformers", "tests/test_against_transformers.py"),
}


def missing() -> list[str]:
    return [part for part, (mark, _) in NEEDED.items() if not _here(mark)]


def _here(mark: str) -> bool:
    return importlib.util.find_spec(mark) is not None or shutil.which(mark) is not None


def main() -> int:
    absent = missing()
    if absent:
        print("heavy parts missing: " + ", ".join(f"{part} (for {NEEDED[part][1]})" for part in absent))
    tests = sorted(
        {test for part, (_, test) in NEEDED.items() if part not in absent} - {NEEDED[p][1] for p in absent}
    )
    if tests:
        print(f"heavy parts here: {', '.join(part for part in NEEDED if part not in absent)}")
        failed = subprocess.run([sys.executable, "-m", "pytest", *tests], check=False).returncode
        if failed:
            return failed
    return 1 if absent and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
