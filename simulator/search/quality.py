"""Requirements on the trained model: losses that must be reached, and the fewest tokens that reach them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulator import scaling, transformer
from simulator.scaling import quality as laws
from simulator.search.learning import Learning
from simulator.transformer import Shape

if TYPE_CHECKING:
    from simulator.search.table import Plan

Array = NDArray[np.float64]

ROUNDING = 1e-9
"""Relative slack with which a requirement is met: tokens are found by halving intervals. [-]"""

FEWEST, MOST = 1e6, 1e18
"""Tokens between which a run may be. [tokens]"""

STEPS, TOLERANCE = 60, 1e-12
"""Steps at most, and width in the logarithm of the tokens, with which a crossing is found. [-]"""

TURNS = 48
"""Turns of the fixed point in the batch, each of which more than halves the error. [-]"""

BETTER_WITH_TOKENS = frozenset({"loss", "accuracy_loss"})
"""Columns that fall as a run goes on."""

LADDER_ERROR = 0.11
"""Largest error of the OLMo ladder's accuracies at 13B parameters and 5T tokens (arXiv:2412.04403), of the two-digit
constants used here against the measured models. [-]"""


@dataclass(frozen=True)
class Quality:
    """One requirement, as a loss that must not be exceeded."""

    name: str
    """``loss``, ``error``, or a task of the OLMo ladder."""
    wanted: float
    """As the user wrote it: a loss, an error, an accuracy."""
    limit: float
    """The same as a loss; not-a-number or minus infinity where no loss is low enough."""
    task: str | None = None
    """Task of the ladder whose own law is judged."""
    curve: str | None = None
    """Law from the scenario's loss to an error."""

    def loss(self, learning: Learning, shape: Shape, tokens: Any, batch_tokens: Any = 0.0) -> Any:
        """The loss that is judged: of the scenario's law, or of the task. [nats/token] or [bit/byte]"""
        if self.task is None:
            return learning.loss(shape, tokens=tokens, batch_tokens=batch_tokens)
        factor = learning.batch_factor(tokens=tokens, batch_tokens=batch_tokens)
        useful = tokens * factor
        if learning.unique_tokens is not None:
            useful = scaling.data.effective_tokens(
                tokens=useful, unique_tokens=learning.unique_tokens * factor
            )
        return laws.ladder_loss(task=self.task, params=ladder_parameters(learning, shape), tokens=useful)

    def bound(self, learning: Learning, shape: Shape, tokens: Any) -> Any:
        """Lowest that loss can be after at most these tokens, in any batch."""
        if self.task is None:
            return learning.loss_bound(shape, tokens=tokens)
        return self.loss(learning, shape, tokens)

    def bound_along(self, learning: Learning, shape: Shape) -> Callable[[Any], Any]:
        """`bound` of some shapes as a function of tokens."""
        if self.task is None:
            return learning.bound_along(shape)
        size, task = ladder_parameters(learning, shape), self.task
        return lambda tokens: laws.ladder_loss(task=task, params=size, tokens=tokens)

    def shown(self, loss: Any) -> Any:
        """A loss as what the user asked for: an accuracy, an error or a loss."""
        if self.task is not None:
            return laws.sigmoid_accuracy(loss=loss, **laws.get_task(self.task).sigmoid)
        return laws.gadre_error(loss=loss, **scaling.get(self.curve).constants) if self.curve else loss


def of_plan(q: Quality, learning: Learning, plan: Plan) -> float:
    """The loss that a plan is judged by; a plan that grows a model by what its last model is trained as far as."""
    columns = plan.columns
    if "worth_tokens" not in columns:
        return float(q.loss(learning, plan.shape, columns["tokens"], plan.batch_tokens))
    if q.task is None:
        return columns["loss"]
    return float(q.loss(replace(learning, unique_tokens=None), plan.shape, columns["worth_tokens"]))


def ladder_parameters(learning: Learning, shape: Shape) -> Any:
    """Size as the OLMo ladder counts it: the blocks and one vocabulary matrix; of experts the active ones. [-]

    Where a law of shape counts, width and depth are worth what they are worth to the loss (`scaling.shape_size`): the ladder was
    fitted to models of usual shapes and says nothing of others.
    """
    idle = transformer.parameters(shape) - transformer.active_parameters(shape)
    matrix = np.asarray(shape.vocab_size) * np.asarray(shape.hidden_size)
    size = np.maximum(transformer.non_embedding_parameters(shape) + matrix - idle, 1.0)
    return size * learning.shape_size(shape)


def first_task(qualities: tuple[Quality, ...]) -> str:
    """Name of the first requirement on a task, else of the first requirement."""
    return next((q.name for q in qualities if q.task is not None), qualities[0].name)


def of_accuracy(task: str, accuracy: float) -> Quality:
    r"""Requirement of an accuracy: the sigmoid of the OLMo ladder turned around.

    .. math:: L = L_0 - \ln(a / (A - b) - 1) / k

    Examples
    --------
    >>> q = of_accuracy("mmlu", 0.6)
    >>> round(q.limit, 3), round(float(q.shown(q.limit)), 6)
    (0.654, 0.6)
    """
    c = laws.get_task(task).sigmoid
    inside = c["a"] / (accuracy - c["b"]) - 1.0 if accuracy != c["b"] else np.inf
    limit = c["L0"] - float(np.log(inside)) / c["k"] if 0 < inside < np.inf else float("-inf")
    if accuracy < c["a"] + c["b"]:
        limit = float("inf")  # chance is enough
    return Quality(task, accuracy, limit, task)


def of_error(law: str, error: float) -> Quality:
    """Requirement of a mean error under one of Gadre's laws, whose corpus the curve shares.

    Examples
    --------
    >>> q = of_error("Gadre2024RedPajama", 0.6)
    >>> round(q.limit, 3), round(float(q.shown(q.limit)), 6)
    (2.366, 0.6)
    """
    curve = f"Gadre2024Error46{law.removeprefix('Gadre2024')}"
    c = scaling.get(curve).constants
    left = (c["eps"] - error) / c["k"]
    limit = float(-np.log(left) / c["gamma"]) if left > 0 else float("inf")
    return Quality("error", error, limit, curve=curve)


# --- tokens ---------------------------------------------------------------------------------------------------------


def required_tokens(
    learning: Learning, qualities: tuple[Quality, ...], shape: Shape, batch_tokens: Any
) -> Array:
    """Fewest tokens after which all requirements are met; infinite where none are. [tokens]

    Parameters
    ----------
    learning, qualities
        How loss is predicted; what is required.
    shape : Shape
        Shapes as columns (S, 1), or one shape.
    batch_tokens : array
        Batches (G), or one. [tokens]

    Notes
    -----
    Without a limit on distinct tokens a batch only makes tokens worth less, so that the law is turned around once per
    shape, and the batch by a fixed point in the tokens.
    """
    size = np.broadcast_shapes(np.shape(transformer.active_parameters(shape)), np.shape(batch_tokens))
    if learning.unique_tokens is None:
        alone = least_tokens(learning, qualities, shape)
        tokens = np.broadcast_to(alone, size).astype(float)
        known = np.isfinite(tokens)
        for _ in range(TURNS if np.any(np.asarray(batch_tokens) > 0) else 0):
            factor = learning.batch_factor(tokens=np.where(known, tokens, FEWEST), batch_tokens=batch_tokens)
            tokens = np.where(known, alone / factor, np.inf)
        return np.asarray(tokens, dtype=float)
    most = learning.best_tokens(
        shape, most=np.full(size, 64.0 * learning.unique_tokens), batch_tokens=batch_tokens
    )
    found = []
    for q in qualities:

        def loss(tokens: Any, judged: Quality = q) -> Any:
            return judged.loss(learning, shape, tokens, batch_tokens)

        found.append(crossing(loss, q.limit, most))
    return np.asarray(np.max(np.stack(found), axis=0))


def least_tokens(learning: Learning, qualities: tuple[Quality, ...], shape: Shape) -> Array:
    """`required_tokens` in a batch that costs nothing, which no other batch undercuts. [tokens]

    A batch that costs tokens costs distinct ones in proportion, and fewer of both never teach more.
    """
    if learning.unique_tokens is not None:
        return required_tokens(learning, qualities, shape, 0.0)
    size = np.shape(transformer.active_parameters(shape))
    most = np.full(size, MOST)
    found = [crossing(q.bound_along(learning, shape), q.limit, most) for q in qualities]
    return np.asarray(np.max(np.stack(found), axis=0))


def crossing(loss: Callable[[Array], Any], limit: float, most: Array) -> Array:
    """Fewest tokens up to `most` at which a falling loss is at its limit; infinite where it stays above.

    Chandrupatla's method (Adv. Eng. Softw. 28, 1997) in the logarithm of the tokens: an interval that holds the crossing is
    halved or cut where the inverse parabola lies. Each element stops by itself, so that its value does not depend on others.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x1 = np.log(np.maximum(np.asarray(most, dtype=float), FEWEST))
        x2 = np.full_like(x1, np.log(FEWEST))
        f1, f2 = (np.asarray(loss(np.exp(x)) - limit, dtype=float) + 0.0 * x1 for x in (x1, x2))
        reached, at_once = f1 <= 0, f2 <= 0
        open_, t = reached & ~at_once, np.full_like(x1, 0.5)
        for _ in range(STEPS):
            if not np.any(open_):
                break
            x = x1 + t * (x2 - x1)
            f = np.asarray(loss(np.exp(x)) - limit, dtype=float) + 0.0 * x1
            same = (f <= 0) == (f1 <= 0)
            x3, f3 = np.where(same, x1, x2), np.where(same, f1, f2)
            far, f_far = np.where(same, x2, x1), np.where(same, f2, f1)
            x1, x2, f1, f2 = (
                np.where(open_, new, old) for new, old in ((x, x1), (far, x2), (f, f1), (f_far, f2))
            )
            least = TOLERANCE / np.abs(x2 - x1)
            open_ = open_ & (least <= 0.5) & (f1 != 0)
            xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
            parabola = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
            cut = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
            t = np.clip(np.where(parabola & np.isfinite(cut), cut, 0.5), least, 1 - least)
        enough = np.exp(np.where(f1 <= 0, x1, x2))
    return np.where(at_once, FEWEST, np.where(reached, enough, np.inf))
