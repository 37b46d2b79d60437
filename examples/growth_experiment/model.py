"""A decoder in plain PyTorch, its weights named as Llama's, and the text it learns: the standard library's sources."""

from __future__ import annotations

import sysconfig
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

VOCAB = 256
HELD_OUT = 20
"""One file in this many is held out."""


@dataclass(frozen=True)
class Size:
    """Sizes of a decoder; heads keep their width when a model grows."""

    num_hidden_layers: int
    hidden_size: int
    head_dim: int = 32

    @property
    def num_attention_heads(self) -> int:
        return self.hidden_size // self.head_dim

    @property
    def intermediate_size(self) -> int:
        return self.hidden_size * 11 // 4

    def wider(self, factor: int) -> Size:
        return Size(self.num_hidden_layers, self.hidden_size * factor, self.head_dim)


class Norm(nn.Module):
    """RMSNorm."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-6)


class Attention(nn.Module):
    """Causal attention with rotary positions."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.num_attention_heads
        d = size.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(d, d, bias=False) for _ in range(4))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, d = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        def rotate(y: Tensor) -> Tensor:
            a, b = y.chunk(2, dim=-1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

        query, key, value = (
            rotate(heads(self.q_proj(x))),
            rotate(heads(self.k_proj(x))),
            heads(self.v_proj(x)),
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, d))


class FeedForward(nn.Module):
    """Gated feed-forward block."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        d, f = size.hidden_size, size.intermediate_size
        self.gate_proj, self.up_proj = nn.Linear(d, f, bias=False), nn.Linear(d, f, bias=False)
        self.down_proj = nn.Linear(f, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and feed-forward, each behind its norm."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(size.hidden_size), Norm(size.hidden_size)
        self.self_attn, self.mlp = Attention(size), FeedForward(size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """The language model; `forward` returns the mean loss in nats per byte."""

    def __init__(self, size: Size, length: int) -> None:
        super().__init__()
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(VOCAB, size.hidden_size),
                "layers": nn.ModuleList(Layer(size) for _ in range(size.num_hidden_layers)),
                "norm": Norm(size.hidden_size),
            }
        )
        self.lm_head = nn.Linear(size.hidden_size, VOCAB, bias=False)
        half = size.head_dim // 2
        angle = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                out = ("o_proj", "down_proj")
                deep = (2 * size.num_hidden_layers) ** -0.5 if any(part in name for part in out) else 1.0
                nn.init.normal_(parameter, std=0.02 if "embed" in name else deep * parameter.shape[1] ** -0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.model["embed_tokens"](tokens[:, :-1])
        for layer in self.model["layers"]:
            x = layer(x, self.cos, self.sin)
        logits = self.lm_head(self.model["norm"](x))
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def text() -> tuple[np.ndarray, np.ndarray, int]:
    """Bytes to learn from, bytes held out (by file), and the number of files."""
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "test", "tests", "idle_test"}
    paths = sorted(
        path for path in root.rglob("*.py") if not skipped & set(path.relative_to(root).parts[:-1])
    )
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    for path in paths:
        held = zlib.crc32(path.relative_to(root).as_posix().encode()) % HELD_OUT == 0
        parts[held].append(path.read_bytes() + b"\0")
    train, held_out = (np.frombuffer(b"".join(part), dtype=np.uint8) for part in parts)
    return train, held_out, len(paths)


def batches(data: np.ndarray, *, count: int, length: int, rng: np.random.Generator) -> Tensor:
    """Random windows of the text, `length` tokens and the one after."""
    starts = rng.integers(0, len(data) - length - 1, count)
    windows = np.stack([data[start : start + length + 1] for start in starts])
    return torch.from_numpy(windows.astype(np.int64))
