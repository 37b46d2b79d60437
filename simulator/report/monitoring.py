"""The page of ``trainsim watch``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report.sections import LEVELS
from simulator.report.text import duration, number, span, style, wrap

COLORS = {"on track": "green", "fast": "yellow", "slow": "red", "another plan": "red"}
SHOWN = 4
"""Causes that are listed."""


def stage_words(record: Mapping[str, Any]) -> str:
    """Which stage of a plan that grows a model is shown; nothing where one model is trained.

    Examples
    --------
    >>> stage_words({"stage": 2, "stages": 2}), stage_words({})
    ('stage 2 of 2 of a grown plan; --stage 1 for the first', '')
    """
    if record.get("stages", 1) < 2:
        return ""
    other = " for the first" if record["stage"] > 1 else " for the next"
    number = 1 if record["stage"] > 1 else record["stage"] + 1
    return f"stage {record['stage']} of {record['stages']} of a grown plan; --stage {number}{other}"


def page(found: Mapping[str, Any], *, color: bool = False) -> str:
    """The verdict first, then the figures, then what is probably to blame."""
    verdict = found["verdict"]
    head = style(verdict.upper(), "bold", COLORS[verdict], color=color)
    band = span(found["predicted_interval_s"], "second")
    used = f"{found['steps_used']} of {found['steps_read']} logged steps ({found['kind']})"
    spread = span(found["step_time_p10_p90_s"], "second")
    pace = f"{duration(found['step_time_s'])} per step, {number(found['ratio'])} times the prediction of"
    lines = [
        f"{head}: {pace} {duration(found['predicted_step_time_s'])} ({band})",
        *wrap(
            f"median of {used}, up to step {found['last_step']}; 80 % of them in {spread}", indent=2, hang=4
        ),
    ]
    if "days_left" in found:
        lines.append(
            f"  {found['share_done']:.1%} done; {duration(found['days_left'] * 86400)} left at this pace, "
            f"{duration(found['days_left_predicted'] * 86400)} as predicted"
        )
    told = stage_words(found)
    lines += wrap(told, indent=2, hang=4) if told else []
    for note in found["notes"]:
        lines += wrap(note, indent=2, hang=4)
    if found["blame"]:
        lines.append("Probably to blame")
        if all(each["evidence"] == "share only" for each in found["blame"]):
            lines += wrap(
                "the log has one time per step, which does not tell the levels apart; a profile, or Megatron's "
                "--timing-log-level 2, would",
                indent=2,
            )
        for each in found["blame"][:SHOWN]:
            name = each["level"]
            what = f" ({LEVELS[name]})" if name in LEVELS else ""
            lines += wrap(f"{name}{what}, {each['evidence']}: {each['text']}", indent=2, hang=4)
    elif verdict == "slow":
        lines.append("  no single level explains it")
    return "\n".join(lines) + "\n"
