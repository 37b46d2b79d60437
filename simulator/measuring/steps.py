"""Real training steps: small Llama-style transformers in plain PyTorch, forward, backward and AdamW."""

from __future__ import annotations

import contextlib
from typing import Any

from simulator.measuring.gemm import formats
from simulator.measuring.plan import Step
from simulator.measuring.timing import Work

SEED = 1
"""Seed of weights and tokens: their values do not change the time, but a run is the same each time."""


def training_step(torch: Any, device: str, item: Step, precision: str, *, optimizer: bool = True) -> Work:
    """One optimizer step as a function without arguments.

    Parameters
    ----------
    torch : module
        PyTorch.
    device : str
        Torch's name of the device.
    item : Step
        Sizes.
    precision : str
        Format of the matmuls. Weights and optimizer states are 32 bits wide; 16-bit matmuls run under autocast.
    optimizer : bool, optional
        Whether the optimizer steps, too.

    Notes
    -----
    RMS norms, rotary positions, fused causal attention, a gated feed-forward block, an output matrix of its own and cross
    entropy; no dropout, no gradient clipping, no graph compiler. The loss is not read back within the step.
    """
    from simulator.measuring import adam

    generator = torch.Generator(device=device).manual_seed(SEED)
    weights = _weights(torch, device, item, generator)
    size = (item.micro_batch_size, item.seq_length + 1)
    tokens = torch.randint(item.vocab_size, size, device=device, generator=generator)
    rotation = _rotation(torch, device, item)
    leaves = [weights["embedding"], weights["head"], weights["norm"]]
    leaves += [each for layer in weights["layers"] for each in layer.values()]
    update = adam.optimizer(torch, leaves) if optimizer else None
    kind = device.split(":")[0]

    def cast() -> Any:
        if precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(kind, dtype=formats(torch)[precision])

    def work() -> None:
        for leaf in leaves:
            leaf.grad = None
        with cast():
            loss = _loss(torch, item, weights, rotation, tokens)
        loss.backward()
        if update is not None:
            update.step()

    return work


def _weights(torch: Any, device: str, item: Step, generator: Any) -> dict[str, Any]:
    """Weights, each a leaf that learns."""
    h, f, v = item.hidden_size, item.intermediate_size, item.vocab_size

    def matrix(rows: int, columns: int) -> Any:
        made = torch.randn(rows, columns, device=device, generator=generator) * 0.02
        return made.requires_grad_()

    def ones() -> Any:
        return torch.ones(h, device=device).requires_grad_()

    layers = [
        {
            "norm1": ones(),
            "qkv": matrix(3 * h, h),
            "out": matrix(h, h),
            "norm2": ones(),
            "up": matrix(2 * f, h),
            "down": matrix(h, f),
        }
        for _ in range(item.num_hidden_layers)
    ]
    return {"embedding": matrix(v, h), "head": matrix(v, h), "norm": ones(), "layers": layers}


def _rotation(torch: Any, device: str, item: Step) -> tuple[Any, Any]:
    """Cosine and sine of the rotary positions: ``[s, head / 2]``."""
    half = item.hidden_size // item.num_attention_heads // 2
    turns = 10_000.0 ** (-torch.arange(half, device=device) / half)
    angle = torch.arange(item.seq_length, device=device)[:, None] * turns
    return angle.cos(), angle.sin()


def _rotate(torch: Any, x: Any, rotation: tuple[Any, Any]) -> Any:
    cosine, sine = (each.to(x.dtype) for each in rotation)
    one, other = x.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, other * cosine + one * sine), dim=-1)


def _loss(torch: Any, item: Step, weights: dict[str, Any], rotation: tuple[Any, Any], tokens: Any) -> Any:
    """Mean cross entropy of the next token."""
    functional = torch.nn.functional
    b, s, h = item.micro_batch_size, item.seq_length, item.hidden_size
    heads = item.num_attention_heads
    x = functional.embedding(tokens[:, :-1], weights["embedding"])
    for layer in weights["layers"]:
        normed = functional.rms_norm(x, (h,), layer["norm1"])
        qkv = functional.linear(normed, layer["qkv"]).view(b, s, 3, heads, h // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = _rotate(torch, q, rotation), _rotate(torch, k, rotation)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + functional.linear(mixed.transpose(1, 2).reshape(b, s, h), layer["out"])
        normed = functional.rms_norm(x, (h,), layer["norm2"])
        gate, up = functional.linear(normed, layer["up"]).chunk(2, dim=-1)
        x = x + functional.linear(functional.silu(gate) * up, layer["down"])
    x = functional.rms_norm(x, (h,), weights["norm"])
    logits = functional.linear(x, weights["head"])
    return functional.cross_entropy(logits.float().view(b * s, -1), tokens[:, 1:].reshape(-1))
