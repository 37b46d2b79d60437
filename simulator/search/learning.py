"""How the loss of a plan is predicted: law, shape, batch, distinct tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from simulator import scaling, transformer
from simulator.scaling import batch
from simulator.transformer import Shape

BATCH_LAW = "Zhang2024"
"""Critical batch: where a doubled batch stops halving the steps. Depends on tokens."""

REFERENCE_BATCH_LAW = "StepLaw2025"
"""Batch that the laws of loss are taken to hold at: the one that gave the lowest loss for its tokens."""


@dataclass(frozen=True)
class Learning:
    """How the loss of a plan is predicted."""

    law: str | scaling.Law = scaling.DEFAULT
    shape_law: str | None = None
    unique_tokens: float | None = None

    @property
    def law_name(self) -> str:
        """What the law of loss is called."""
        return self.law if isinstance(self.law, str) else self.law.name

    def batch_factor(self, *, tokens: Any, batch_tokens: Any) -> Any:
        r"""Tokens at the law's own batch that one token at this batch is worth. [-]

        .. math:: \min\left(1, \frac{1 + B_{ref}/B_{crit}}{1 + B/B_{crit}}\right)

        A batch below the reference costs no tokens and, to be careful, gains none.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            critical = batch.critical_batch_tokens(law=BATCH_LAW, tokens=tokens)
            reference = batch.recommended_batch_tokens(law=REFERENCE_BATCH_LAW, tokens=tokens)
            one = batch.effective_tokens(1.0, batch_tokens, critical, reference_batch_tokens=reference)
        return np.minimum(1.0, one)

    def loss(self, shape: Shape, *, tokens: Any, batch_tokens: Any = 0.0) -> Any:
        """Loss of shapes on the first axis after tokens on all axes. [nats/token]

        A batch that costs tokens costs distinct ones in proportion: repetition stays what it is.
        """
        factor = self.batch_factor(tokens=tokens, batch_tokens=batch_tokens)
        unique = None if self.unique_tokens is None else self.unique_tokens * factor
        return self._evaluate(shape, tokens * factor, unique)

    def loss_bound(self, shape: Shape, *, tokens: Any) -> Any:
        """Lowest loss of shapes after at most these tokens, in any batch. [nats/token]

        Repetition makes tokens worth less here, not the parameters: the loss then falls with tokens.
        """
        if self.unique_tokens is not None:
            tokens = scaling.data.effective_tokens(tokens=tokens, unique_tokens=self.unique_tokens)
        return self._evaluate(shape, tokens, None)

    def bound_along(self, shape: Shape) -> Callable[[Any], Any]:
        """`loss_bound` of some shapes as a function of tokens: what depends on the shapes is computed once."""
        known = _of_shape(shape)

        def bound(tokens: Any) -> Any:
            if self.unique_tokens is not None:
                tokens = scaling.data.effective_tokens(tokens=tokens, unique_tokens=self.unique_tokens)
            return self._of(known, tokens, None)

        return bound

    def _evaluate(self, shape: Shape, tokens: Any, unique_tokens: Any) -> Any:
        return self._of(_of_shape(shape), tokens, unique_tokens)

    def _of(self, known: dict[str, Any], tokens: Any, unique_tokens: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return scaling.loss(
                law=self.law,
                tokens=tokens,
                unique_tokens=unique_tokens,
                shape_law=self.shape_law,
                **known,
            )

    @property
    def shape_worth(self) -> str | scaling.Law | None:
        """The law that says what width and depth are worth: the law of shape, or a law of loss that sees them."""
        return self.law if scaling.get(self.law).sees_shape else self.shape_law

    def shape_size(self, shape: Shape) -> Any:
        """Size of the usual shape that is as good as each shape, over its own; one where no law sees shape. [-]"""
        if self.shape_worth is None:
            return 1.0
        known = _of_shape(shape)
        del known["mlp_attention_ratio"]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return scaling.shape_size(shape_law=self.shape_worth, **known)

    def best_tokens(self, shape: Shape, *, most: Any, batch_tokens: Any) -> Any:
        """Tokens of least loss up to `most`: a model with parameters to spare gets worse on repeated data. [tokens]

        Looked for on a grid of multiples of the distinct tokens, 4 % apart; `most` itself where more is better.
        """
        if self.unique_tokens is None or not np.any(most > self.unique_tokens):
            return most
        epochs = np.geomspace(1.0, 64.0, 107)
        most = np.asarray(most, dtype=float)
        tried = np.minimum(self.unique_tokens * epochs, most[..., None])
        tried = np.concatenate([tried, most[..., None]], axis=-1)
        spread = Shape(**{f.name: _deeper(getattr(shape, f.name)) for f in fields(shape)})
        batch_tokens = np.asarray(batch_tokens, dtype=float)[..., None]
        losses = self.loss(spread, tokens=tried, batch_tokens=batch_tokens)
        losses = np.where(np.isnan(losses), np.inf, losses)
        best = np.argmin(losses, axis=-1)[..., None]
        enough = np.min(losses, axis=-1) < losses[..., -1] * (1 - 1e-9)
        return np.where(enough, np.take_along_axis(tried, best, axis=-1)[..., 0], most)


def _of_shape(shape: Shape) -> dict[str, Any]:
    """What laws of loss see of shapes."""
    width = np.asarray(shape.hidden_size, dtype=float)
    depth = np.asarray(shape.num_hidden_layers, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        attention = transformer.attention_matrix_parameters(shape)
        mlp = (transformer.layer_matrix_parameters(shape) - depth * attention) / depth
        return {
            "params": transformer.active_parameters(shape),
            "non_embedding_params": np.maximum(transformer.non_embedding_parameters(shape), 1.0),
            "hidden_size": width,
            "num_hidden_layers": depth,
            "mlp_attention_ratio": mlp / attention,
        }


def _deeper(value: Any) -> Any:
    return np.asarray(value)[..., None] if np.ndim(value) else value


def columns_of(shape: Shape) -> Shape:
    """Arrays of a `Shape` as columns (S, 1)."""
    values = {f.name: getattr(shape, f.name) for f in fields(shape)}
    return Shape(**{k: (np.asarray(v).reshape(-1, 1) if np.ndim(v) else v) for k, v in values.items()})
