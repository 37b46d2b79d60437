"""Write again what is generated: golden pages, the answer in the README, docs/accuracy.md, docs/nomenclature.md.

    python docs/refresh.py                  # all of it
    python docs/refresh.py readme golden    # some of it

Run it after a calibration, or when a page is meant to look different; the difference in git is the review.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from simulator import simulate
from simulator.report import nomenclature, terminal, validation

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ("quickstart", "gpt-3-175b", "does-not-fit")
README_SCENARIO = "quickstart"
README_ENDS = "Step time"
"""The README shows the page up to this heading."""
START, END = "<!-- accuracy: written by docs/refresh.py -->", "<!-- end -->"
"""Marks around the figures on accuracy in the README."""


def shown(scenario: str) -> str:
    """The part of a page that the README shows."""
    page = terminal.page(simulate.run(ROOT / "scenarios" / f"{scenario}.yaml").to_dict())
    return page.split(f"\n{README_ENDS}\n")[0].rstrip() + "\n"


def readme() -> None:
    """Replace the first fenced block of the README that starts with the scenario's command."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    block = f"```text\n$ make run\n{shown(README_SCENARIO)}```"
    new, count = re.subn(r"```text\n\$ make run\n.*?```", lambda _: block, text, count=1, flags=re.DOTALL)
    assert count == 1, "README.md has no block that starts with `$ make run`"
    figures = "\n".join(validation.summary(validation.collect(validation.shipped(), clock="all")))
    new, count = re.subn(
        rf"({re.escape(START)}\n).*?({re.escape(END)})",
        lambda m: m[1] + figures + "\n" + m[2],
        new,
        count=1,
        flags=re.DOTALL,
    )
    assert count == 1, f"README.md has no part between {START} and {END}"
    path.write_text(new, encoding="utf-8")


def golden() -> None:
    """Store results as data, and the pages that they give."""
    folder = ROOT / "tests" / "golden"
    folder.mkdir(exist_ok=True)
    for name in GOLDEN:
        document = simulate.run(ROOT / "scenarios" / f"{name}.yaml").to_dict()
        (folder / f"{name}.json").write_text(
            json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / f"{name}.txt").write_text(terminal.page(document), encoding="utf-8")


def accuracy() -> None:
    """Write docs/accuracy.md."""
    (ROOT / "docs" / "accuracy.md").write_text(validation.accuracy_page(), encoding="utf-8")


def names() -> None:
    """Write docs/nomenclature.md."""
    (ROOT / "docs" / "nomenclature.md").write_text(nomenclature.page(), encoding="utf-8")


PARTS = {"golden": golden, "readme": readme, "accuracy": accuracy, "names": names}

if __name__ == "__main__":
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f"no part named {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in wanted:
        PARTS[part]()
        print(f"written: {part}", file=sys.stderr)
