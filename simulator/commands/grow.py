"""``trainsim grow``: a larger model from a trained checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

MAX_SHARD_GB = 1e6
"""Largest file of weights that may be asked for. [GB]"""


@click.command("grow")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to create.")
@click.option(
    "--operator",
    default="hypercloning",
    show_default=True,
    help="hypercloning, stacking, interposition, staged_depth, compound.",
)
@click.option("--factor", default=2, show_default=True, help="Times the width (or the layers).")
@click.option("--ffn-factor", type=int, help="Times the feed-forward width; --factor if absent.")
@click.option("--depth-factor", default=2, show_default=True, help="Times the layers, with compound.")
@click.option("--noise-db", type=float, help="Signal over paired noise [dB]; none if absent, 10 is usual.")
@click.option("--seed", default=0, show_default=True, help="Of the noise.")
@click.option("--untie", is_flag=True, help="Give a tied model an output head of its own.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of the grown weights; as they were.",
)
@click.option("--shard-gb", default=5.0, show_default=True, help="Largest file of weights [GB].")
@click.option("--verify/--no-verify", default=True, help="Compare the logits of both models. [default: on]")
def command(
    checkpoint: Path,
    out: Path,
    operator: str,
    factor: int,
    ffn_factor: int | None,
    depth_factor: int,
    noise_db: float | None,
    seed: int,
    untie: bool,
    dtype: str | None,
    shard_gb: float,
    verify: bool,
) -> None:
    """Grow CHECKPOINT, a Hugging Face folder, into a larger model that starts where it stopped.

    Families: llama, mistral, qwen2, qwen3, gpt_neox, opt, olmo, olmo2. Width grows by HyperCloning, depth by stacking.
    OUT appears whole or not at all; nothing is overwritten.
    """
    from simulator.errors import Problem, SpecError
    from simulator.growth.checkpoint import How, grow

    if not shard_gb > 0:
        raise SpecError(Problem(f"{shard_gb} is not above 0", path="shard-gb"))
    if shard_gb > MAX_SHARD_GB:
        raise SpecError(Problem(f"{shard_gb} is above {MAX_SHARD_GB:g}", path="shard-gb"))
    if seed < 0:
        raise SpecError(Problem(f"{seed} is below 0", path="seed"))
    how = How(operator, factor, ffn_factor, depth_factor, noise_db, seed, untie)
    grown = grow(
        checkpoint,
        out,
        how,
        dtype=dtype,
        shard_bytes=int(shard_gb * 1e9),
        verify=verify,
        tell=lambda text: click.echo(text, err=True),
    )
    click.echo(
        f"{grown.folder}: {grown.parameters:,} parameters, from {grown.source_parameters:,} "
        f"({len(grown.files)} file{'s' if len(grown.files) > 1 else ''})"
    )
    if grown.untied:
        click.echo("the model has an output head of its own now (tie_word_embeddings: false)")
    if grown.max_logit_difference is not None:
        kept = "same function" if grown.preserves_function else "this operator does not keep the function"
        rounded = "; rounded to 16 bits, --dtype float32 keeps more" if grown.rounded else ""
        click.echo(f"largest logit difference {grown.max_logit_difference:.2g} ({kept}{rounded})")
    if how.width > 1 and noise_db is None:
        click.echo(
            "copies are exactly equal and learn alike until something tells them apart: see --noise-db",
            err=True,
        )
