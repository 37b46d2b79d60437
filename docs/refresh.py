"""Write again what is generated: golden pages, the answer in the README, docs/accuracy.md with its pictures, names, software, reality,
and the figures in the sentences of the other pages.

    python docs/refresh.py                             # all of it
    python docs/refresh.py readme golden               # some of it
    python docs/refresh.py baseline --accept-accuracy  # also if errors grew

Run it after a calibration, or when a page is meant to look different; the difference in git is the review. The accuracy
that was last accepted is in tests/accuracy_baseline.json; where errors grew by more than half a point it is only
replaced if asked.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from simulator import library, simulate
from simulator.measuring import chain
from simulator.report import measuring, nomenclature, reality, terminal, validation
from simulator.report import software as stacks
from simulator.validate import baseline as figures
from simulator.validate import cases
from simulator.validate.layouts import validate_layouts

# Pages that are compared must not age.
os.environ.setdefault("TRAINSIM_TODAY", "2026-11-21")

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ("quickstart", "gpt-3-175b", "does-not-fit")
BASELINE = ROOT / "tests" / "accuracy_baseline.json"
README_SCENARIO = "quickstart"
README_ENDS = "Step time"
"""The README shows the page up to this heading."""
START, END = "<!-- accuracy: written by docs/refresh.py -->", "<!-- end -->"
"""Marks around the figures on accuracy in the README."""
MEASURED = "<!-- measured: written by docs/refresh.py -->"
"""Mark before the tables of docs/measure.md."""


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


def pictures() -> None:
    """Draw predicted against measured, a picture per source."""
    from PIL import Image  # matplotlib brings it

    for path in validation.draw_pictures(ROOT / "docs" / "plots"):
        few_colors = Image.open(path).convert("RGB").quantize(48)  # a third of the bytes
        few_colors.save(path, optimize=True)
        print(f"  {path.name} {path.stat().st_size / 1e3:.0f} kB", file=sys.stderr)


def names() -> None:
    """Write docs/nomenclature.md."""
    (ROOT / "docs" / "nomenclature.md").write_text(nomenclature.page(), encoding="utf-8")


def software() -> None:
    """Write docs/software.md."""
    (ROOT / "docs" / "software.md").write_text(stacks.page(), encoding="utf-8")


def against_reality() -> None:
    """Write docs/reality.md."""
    found = validate_layouts(library.find("measurements", "throughput"), rows=True)
    (ROOT / "docs" / "reality.md").write_text(reality.page(found), encoding="utf-8")


def measured() -> None:
    """Fit the constants of the measured set in examples/ again, and write its tables into docs/measure.md."""
    path = ROOT / "docs" / "measure.md"
    lines = measuring.markdown(chain.finished(ROOT / "examples" / "measured_cpu"))
    new, count = re.subn(
        rf"({re.escape(MEASURED)}\n).*?({re.escape(END)})",
        lambda m: m[1] + "\n".join(lines) + "\n" + m[2],
        path.read_text(encoding="utf-8"),
        count=1,
        flags=re.DOTALL,
    )
    assert count == 1, f"docs/measure.md has no part between {MEASURED} and {END}"
    path.write_text(new, encoding="utf-8")


def figures_in_sentences() -> None:
    """Write the figures that docs/sentences.py names, and its tables."""
    sys.path.insert(0, str(ROOT / "docs"))
    import sentences

    sentences.write()


def baseline(*, accept: bool = False) -> None:
    """Store the accuracy of the constants that ship; a growth of errors has to be accepted."""
    frame = cases.read_frame(library.find("measurements", "throughput"))
    now = figures.figures(frame, cases.of_frame(frame))
    if BASELINE.exists():
        moves = figures.moves(json.loads(BASELINE.read_text(encoding="utf-8")), now)
        print(figures.table(moves), file=sys.stderr)
        if any(move.refused for move in moves) and not accept:
            sys.exit(
                f"{figures.table([move for move in moves if move.refused])}\n"
                f"errors grew by more than {figures.POINTS} points; if that is meant: "
                "python docs/refresh.py baseline --accept-accuracy"
            )
    BASELINE.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


PARTS = {
    "golden": golden,
    "readme": readme,
    "accuracy": accuracy,
    "pictures": pictures,
    "names": names,
    "software": software,
    "reality": against_reality,
    "measured": measured,
    "sentences": figures_in_sentences,
    "baseline": baseline,
}

if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if word != "--accept-accuracy"] or list(PARTS)
    if "--accept-accuracy" in sys.argv:
        PARTS["baseline"] = lambda: baseline(accept=True)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f"no part named {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in wanted:
        PARTS[part]()
        print(f"written: {part}", file=sys.stderr)
