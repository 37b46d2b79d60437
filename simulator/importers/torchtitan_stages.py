"""The pipeline of torchtitan's TOML: its schedule, its stages per rank, and how layers are dealt to them.

The rules are those of ``torchtitan/distributed/pipeline_parallel.py`` [1]_: schedules of single stages take one stage per rank;
the others take at least two, two where ``pipeline_parallel_layers_per_stage`` is not given.

References
----------
.. [1] https://github.com/pytorch/torchtitan at 02ef790c79614758f85880e173d2338d7de502a3.
"""

from __future__ import annotations

from simulator.errors import SpecError, UnknownNameError
from simulator.importers.ledger import Ledger

SCHEDULES = {
    "1F1B": "1f1b",
    "Interleaved1F1B": "interleaved",
    "GPipe": "gpipe",
    "InterleavedZeroBubble": "zero_bubble",
    "ZBVZeroBubble": "zero_bubble",
}
"""torchtitan's names of pipeline schedules."""

SINGLE = ("1F1B", "GPipe")
"""Schedules with one stage per rank."""

V = "ZBVZeroBubble"
"""The schedule whose ranks hold a stage of either half, from both ends."""

PLACES = ("parallelism", "training", "experimental")
"""Tables that the keys of parallelism stood in over the years."""


def read_schedule(book: Ledger, pp: int, layers: int | None = None) -> None:
    """Read schedule and stages into the ledger of a scenario; `layers` are those of a model that the file does not hold."""
    schedule = str(book.raw(*(f"{place}.pipeline_parallel_schedule" for place in PLACES)) or "1F1B")
    per_stage = book.number("parallelism.pipeline_parallel_layers_per_stage")
    ends = [
        book.number(f"parallelism.pipeline_parallel_{end}_stage_less_layers") for end in ("first", "last")
    ]
    less = [1 if given is None else given for given in ends]
    if pp == 1:
        for name in ("split_points", "microbatch_size"):
            book.raw(*(f"{place}.pipeline_parallel_{name}" for place in PLACES))
        return
    ours = SCHEDULES.get(schedule)
    if ours is None:
        book.doubt(f"pipeline_parallel_schedule {schedule}")
        return
    book.put("parallelism.schedule", ours, f"pipeline_parallel_schedule {schedule}")
    layers = _layers(book) or layers
    if per_stage is not None:
        stages = _stages(book, schedule, layers, less, per_stage, pp)
    elif schedule in SINGLE:
        stages = pp
    else:
        book.assume("parallelism.vp", 2, f"two stages per rank are the default of {schedule}")
        stages = 2 * pp
    if layers and stages and stages > layers:
        book.fail("parallelism.pipeline_parallel_degree", f"{stages:,} stages are more than {layers} layers")
    elif layers and stages:
        held = dealt(layers, stages, *less)
        # A V holds a stage of the way down and one of the way up.
        ranks = (
            [[*held[:pp]], [*held[:pp:-1], held[pp]]]
            if schedule == V
            else [held[i : i + pp] for i in range(0, stages, pp)]
        )
        _compare(book, [sum(rank) for rank in zip(*ranks, strict=True)], layers, pp)


def _stages(
    book: Ledger, schedule: str, layers: int | None, less: list[int], per_stage: int, pp: int
) -> int | None:
    """Stages from the layers of each; what torchtitan refuses is a mistake of the file."""
    name = "pipeline_parallel_layers_per_stage"
    if layers is None or per_stage < 1:
        if schedule not in SINGLE:
            book.doubt(f"{name} {per_stage}: write parallelism.vp = layers / pp / {per_stage}")
        return None
    stages = -(-(layers + sum(less)) // per_stage)
    each = stages // pp
    wrong = ""
    if stages % pp:
        wrong = f"{stages} stages of {layers} layers are no multiple of pp {pp}"
    elif stages > layers:
        wrong = f"{stages} stages are more than {layers} layers"
    elif schedule in SINGLE and each != 1:
        wrong = f"{schedule} has one stage per rank, not {each}"
    elif schedule not in SINGLE and each < 2:
        wrong = f"{schedule} needs two stages per rank or more"
    elif schedule == V and each != 2:
        wrong = f"{schedule} has two stages per rank, not {each}"
    if wrong:
        book.fail(f"parallelism.{name}", wrong)
        return None
    if schedule not in SINGLE:
        book.put("parallelism.vp", each, f"{name} {per_stage}: {stages} stages")
    return stages


def _layers(book: Ledger) -> int | None:
    """Layers of the model, if its name is known here."""
    # The schema is imported here: it imports the importer of config.json itself.
    from simulator.schema import load_model

    name = book.at("model")
    try:
        return load_model(name).num_hidden_layers if isinstance(name, str) else None
    except (SpecError, UnknownNameError):
        return None


def dealt(layers: int, stages: int, first: int, last: int) -> list[int]:
    """Layers of every stage, as `generate_llm_fqn_per_model_part` deals them. [layers]

    Embedding and head count as `first` and `last` layers; the first stages take what is left over.

    Examples
    --------
    >>> dealt(32, 4, 1, 1), dealt(32, 4, 0, 0), dealt(126, 16, 0, 0)[12:]
    ([8, 9, 8, 7], [8, 8, 8, 8], [8, 8, 7, 7])
    """
    each, over = divmod(layers + first + last, stages)
    held = [each + (place < over) for place in range(stages)]
    held[0] -= first
    held[-1] -= last
    return held


def _compare(book: Ledger, ranks: list[int], layers: int, pp: int) -> None:
    """Say where a rank holds more than the fullest that the planner counts."""
    most, fullest = max(ranks), -(-layers // pp)
    if most > fullest:
        book.doubt(
            f"{layers} layers on {pp} stages, {most} on the fullest: the planner deals them evenly, {fullest} on the fullest "
            "(pipeline_parallel_first_stage_less_layers and its like are 1 by default)"
        )
