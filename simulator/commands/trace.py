"""``trainsim trace``: one step as a timeline for Perfetto."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.completion import scenarios, settings


@click.command("trace")
@click.argument("file", shell_complete=scenarios)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of the scenario.",
)
@click.option(
    "--stage",
    type=click.IntRange(1),
    metavar="N",
    help="Of a plan that grows a model: the stage; its last if absent.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(file: str, changes: tuple[str, ...], stage: int | None, out: Path | None) -> None:
    """Write one step of the chosen plan of the scenario FILE as a timeline.

    The JSON opens in https://ui.perfetto.dev or chrome://tracing: a line for each pipeline stage, a bar for each pass.
    """
    import json

    from simulator.errors import InfeasibleError
    from simulator.report import monitoring, output
    from simulator.result import plain
    from simulator.schema import load_scenario
    from simulator.simulate import run
    from simulator.tracing import chrome_trace, timeline

    scenario = load_scenario(file, changes)
    result = run(scenario)
    if not result.feasible:
        raise InfeasibleError("no plan runs", details=(str(result.infeasible.get("text", "")),))
    answer = plain(result.stage(stage))
    told = monitoring.stage_words(answer)
    events = timeline(answer, schedule=scenario.parallelism.schedule or "1f1b")
    if told:
        click.echo(told, err=True)
    end = max(event.start_s + event.duration_s for event in events)
    click.echo(f"timeline {end:.4g} s, predicted step {answer['step_time_s']:.4g} s", err=True)
    name = f"{scenario.name}, stage {answer['stage']}" if told else scenario.name
    output.emit(json.dumps(chrome_trace(events, name=name), separators=(",", ":")) + "\n", out)
