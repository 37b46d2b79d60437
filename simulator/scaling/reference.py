"""The laws as records: what ``trainsim laws`` prints and `docs/scaling.md` holds.

``python -m simulator.scaling.reference docs/scaling.md`` rewrites the tables between the two markers of that page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from . import batch, learning_rate
from .law import Law
from .published import frontiers
from .registry import laws

BEGIN, END = "<!-- begin: written by simulator.scaling.reference -->", "<!-- end -->"

QUANTITIES = ("loss", "correction", "error", "accuracy", "critical batch", "optimal batch")
"""What laws return, in the order of the page."""


def short(value: float) -> str:
    """A number of a table: four digits, powers of ten where needed.

    Examples
    --------
    >>> short(2085.43), short(6.4e13), short(0.3478)
    ('2085', '6.4e13', '0.3478')
    """
    text = f"{value:.4g}"
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def constants_text(law: Law) -> str:
    """Constants on one line; what to do where there are none.

    Examples
    --------
    >>> constants_text(laws["Hoffmann2022Rounded"])
    'E 1.69, A 406.4, B 410.7, alpha 0.34, beta 0.28'
    """
    if not law.constants:
        return "to fit: " + ", ".join(law.form.parameters)
    return ", ".join(f"{name} {short(value)}" for name, value in law.constants.items())


def range_text(law: Law) -> str:
    """Range on one line.

    Examples
    --------
    >>> range_text(laws["Besiroglu2024"])
    'params 7e7-1.6e10, tokens 5e9-5e11'
    """
    return ", ".join(f"{name} {short(low)}-{short(high)}" for name, (low, high) in law.range.items())


def record(law: Law) -> dict[str, Any]:
    """A law as plain data.

    Examples
    --------
    >>> record(laws["Besiroglu2024"])["constants"]["alpha"]
    0.3478
    """
    return {
        "name": law.name,
        "quantity": law.quantity,
        "unit": law.loss_unit,
        "equation": law.equation,
        "inputs": list(law.inputs),
        "constants": dict(law.constants),
        "uncertainty": {k: list(v) if isinstance(v, tuple) else v for k, v in law.uncertainty.items()},
        "corpus": law.corpus,
        "tokenizer": law.tokenizer,
        "n_convention": law.n_convention,
        "range": {name: list(ends) for name, ends in law.range.items()},
        "provenance": law.provenance,
        "source": law.source,
        "notes": law.notes,
    }


def everything() -> dict[str, Law]:
    """Laws of `laws` and of `batch.laws`; the latter as ``batch/Name``.

    Examples
    --------
    >>> everything()["batch/Zhang2024"].quantity
    'critical batch'
    """
    return {**laws, **{f"batch/{name}": law for name, law in batch.laws.items()}}


def tables() -> str:
    """Markdown tables of every law, by what it returns; then frontiers and learning rates.

    Examples
    --------
    >>> "| Besiroglu2024 |" in tables()
    True
    """
    parts = []
    for quantity in QUANTITIES:
        group = [law for law in everything().values() if law.quantity == quantity]
        lines = [f"### {quantity.capitalize()}", ""]
        lines += [
            "| law | equation | constants | corpus; tokenizer; N | range | source | notes |",
            "|" + ":---|" * 7,
        ]
        for law in group:
            about = f"{law.corpus}; {law.tokenizer}; {law.n_convention}"
            notes = law.notes if law.provenance != "refit" else f"Refit. {law.notes}"
            lines.append(
                _row(
                    law.name,
                    f"`{law.equation}`",
                    constants_text(law),
                    about,
                    range_text(law),
                    law.source,
                    notes,
                )
            )
        parts.append("\n".join(lines))
    lines = [
        "### Best size against compute",
        "",
        "| frontier | N | D | counts | range, FLOP | source | notes |",
    ]
    lines.append("|" + ":---|" * 7)
    for f in frontiers.values():
        size = f"{short(f.coefficient)} C^{f.exponent:.4f}"
        tokens = f"{short(f.tokens_coefficient)} C^{f.tokens_exponent:.4f}"
        span = f"{short(f.range_flop[0])}-{short(f.range_flop[1])}" if f.range_flop else ""
        lines.append(_row(f.name, size, tokens, f.n_convention, span, f.source, f.notes))
    parts.append("\n".join(lines))
    lines = ["### Peak learning rate", "", "| law | equation and source | inputs |", "|" + ":---|" * 3]
    for name, (function, inputs) in learning_rate.laws.items():
        lines.append(
            _row(name, (function.__doc__ or "").split("[-]")[0].strip().rstrip("."), ", ".join(inputs))
        )
    parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def written(page: str) -> str:
    """The page with its tables renewed.

    Examples
    --------
    >>> written(f"x {BEGIN} old {END} y").startswith(f"x {BEGIN}")
    True
    """
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
