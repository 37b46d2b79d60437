"""Run the tests whose heavy parts are here, and say which parts are missing; in CI a missing part is a failure.

`make heavy` installs them. A check that needs a part registers it in `NEEDED`: the part, how it is recognised,
and the tests that use it, which `make test` leaves out because they take minutes. Arguments are passed on to pytest.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

# Part, to (a module or a program that shows it is here, the tests that need it).
TRANSFORMERS = (
    "tests/test_against_transformers.py",
    "tests/test_exported_transformers.py",
    "tests/test_grow_transformers.py",
)
NEEDED: dict[str, tuple[str, tuple[str, ...]]] = {
    "torch": ("torch", (*TRANSFORMERS, "tests/test_measure_torch.py")),
    "transformers": ("transformers", TRANSFORMERS),
    "chromium": ("chromium", ("tests/test_report_browser.py", "tests/test_serve_browser.py")),
}


def missing() -> list[str]:
    return [part for part, (mark, _) in NEEDED.items() if not _here(mark)]


def _here(mark: str) -> bool:
    return importlib.util.find_spec(mark) is not None or shutil.which(mark) is not None


def main() -> int:
    absent = missing()
    if absent:
        print(
            "heavy parts missing: "
            + ", ".join(f"{part} (for {', '.join(NEEDED[part][1])})" for part in absent)
        )
    lacking = {test for part in absent for test in NEEDED[part][1]}
    tests = sorted({test for _, uses in NEEDED.values() for test in uses} - lacking)
    if tests:
        print(f"heavy parts here: {', '.join(part for part in NEEDED if part not in absent)}")
        failed = subprocess.run(
            [sys.executable, "-m", "pytest", *sys.argv[1:], *tests], check=False
        ).returncode
        if failed:
            return failed
    return 1 if absent and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
