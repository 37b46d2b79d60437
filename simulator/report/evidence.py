"""How good the evidence of an answer is, in lines: whose constants, and how wrong such answers have been."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator import uncertainty
from simulator.report.text import number, percent, plural, wrap

Document = Mapping[str, Any]

WIDER = 1.1
"""Widening of an interval by exposed communication from which on it is told. [-]"""


def evidence(answer: Document) -> list[str]:
    """How good the evidence is, and how wrong such answers have been."""
    known = answer.get("evidence") or {}
    out = wrap(f"Constants of {answer['accelerator']}: {known.get('text', 'unknown')}.", indent=2, hang=2)
    if known.get("rows"):
        whose = " of the shipped constants, which your own sets replace," if known.get("own") else ""
        text = f"Median error{whose} {percent(known['median_error'])} on {plural(known['rows'], 'measured row')} like this one"
        if "bits" in known and "bits=" not in known["regime"]:
            text += f" but in other formats, since too few are in {known['bits']} bits"
        left_out = "each with its whole organisation" if "seen=false" in known["regime"] else "each"
        text += f" ({regime_words(known['regime'])}), {left_out} left out of the fit, and organisations weighing the same; "
        text += "see docs/accuracy.md."
        out += wrap(text, indent=2, hang=2)
    out += wrap(_ranged(known), indent=2, hang=2)
    wider = float(uncertainty.widening(known.get("exposed_share", 0.0), uncertainty.table().communication))
    if wider >= WIDER:
        text = f"{percent(known['exposed_share'])} of the step is communication that nothing hides, which is known less well: "
        out += wrap(f"{text}the interval is {number(wider, 2)} times as wide for it.", indent=2, hang=2)
    return out


def _ranged(known: Document) -> str:
    """Whose errors the interval is made of, where they are not those of the median error; else empty."""
    rows, regime = known.get("interval_rows", 0), str(known.get("interval_regime", ""))
    if not known.get("rows") or rows == known["rows"]:
        return ""
    error_of = str(known["regime"]).partition(" bits=")[0]
    which = (
        f"all {rows:,} of them"
        if regime == error_of
        else f"the {plural(rows, 'row')} nearest to it ({regime_words(regime)})"
    )
    formats = "" if "bits=" in regime else " in any format"
    return f"The range is at least that of {which}{formats}."


def regime_words(regime: str) -> str:
    """A regime of `simulator.uncertainty` in words.

    Examples
    --------
    >>> regime_words("grade=measured seen=false kind=dense scale=cluster complete=true fabric=fabric architecture=hopper")
    'measured accelerator, another organisation, dense, several nodes, complete configuration, hopper'
    >>> regime_words("")
    'of any kind'
    """
    told = {
        "grade=measured": "measured accelerator",
        "grade=transferred": "another part of the architecture measured",
        "grade=datasheet": "from datasheet",
        "seen=true": "organisation measured",
        "seen=false": "another organisation",
        "kind=moe": "mixture of experts",
        "kind=lora": "adapters",
        "scale=cluster": "several nodes",
        "scale=node": "one node",
        "complete=true": "complete configuration",
        "complete=false": "incomplete configuration",
        "fabric=fabric": "",
        "fabric=fabric-degraded": "degraded fabric",
        **{f"bits={width}": f"{width} bits" for width in (32, 16, 8, 4)},
    }
    words = [told.get(pair, pair.rpartition("=")[2]) for pair in regime.split()]
    return ", ".join(word for word in words if word) or "of any kind"
