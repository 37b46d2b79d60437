"""Which heavy parts are here, which checks need them; in CI a missing part is a failure.

`make heavy` installs them. A check that needs a part registers it in `NEEDED`: the part, how it is recognised,
and the test that uses it; the test itself is skipped where the part is missing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
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
    if not NEEDED:
        print("heavy parts: no check needs one")
    elif absent:
        print("heavy parts missing: " + ", ".join(f"{part} (for {NEEDED[part][1]})" for part in absent))
    else:
        print("heavy parts: all here: " + ", ".join(NEEDED))
    return 1 if absent and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
