"""What every law must satisfy, whatever its constants."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import scaling
from simulator.errors import SimulatorError, UnknownNameError
from simulator.scaling import batch, data, inference, kaplan, moe, overtraining, quality, samples, schedule
from simulator.scaling.compute import random_features

CHINCHILLA = [name for name, law in scaling.laws.items() if law.form.name == "chinchilla"]
WITH_TERMS = [name for name, law in scaling.laws.items() if law.terms]

POINT = {
    "params": 1.3e9,
    "tokens": 4e10,
    "unique_tokens": 1e10,
    "non_embedding_params": 1.1e9,
    "hidden_size": 2048.0,
    "num_hidden_layers": 24.0,
    "compute_flop": 3e20,
    "min_steps": 2e4,
    "total_params": 5e10,
    "dense_params": 1e9,
    "granularity": 8.0,
    "num_experts": 64.0,
    "examples": 1e4,
    "million_params": 120.0,
    "mlp_attention_ratio": 2.0,
    "loss": 2.7,
}


ON_NUMBERS = [
    n for n, law in scaling.laws.items() if law.has_constants and "learning_rates" not in law.inputs
]


@pytest.mark.parametrize("name", ON_NUMBERS)
def test_vector_equals_scalar(name: str) -> None:
    law = scaling.laws[name]
    factors = np.array([[0.5, 1.0, 2.0], [0.7, 1.1, 3.0]])
    columns = {k: POINT[k] * factors for k in law.inputs}
    out = law(**columns)
    assert out.shape == factors.shape
    for index in np.ndindex(factors.shape):
        alone = law(**{k: float(v[index]) for k, v in columns.items()})
        assert np.isclose(alone, out[index], rtol=1e-12)


def test_large_arrays_take_the_fast_road_to_the_same_place() -> None:
    n = np.geomspace(1e6, 1e12, 40_000)
    fast = scaling.loss(params=n, tokens=20 * n)
    slow = np.concatenate([scaling.loss(params=part, tokens=20 * part) for part in np.split(n, 8)])
    assert np.allclose(fast, slow, rtol=1e-13)
    assert np.allclose(scaling.loss(params=n[:, None], tokens=np.array([1e9, 1e10])[None]).shape, (40_000, 2))


def test_a_million_points_cost_no_more_than_their_two_powers_need() -> None:
    n = np.geomspace(1e7, 1e12, 1_000_000)
    d = n * 17.0

    def powers() -> object:
        return n**-0.34, d**-0.28

    def loss() -> object:
        return scaling.loss(params=n, tokens=d)

    best = {powers: np.inf, loss: np.inf}
    for _ in range(8):
        for work in best:
            begin = time.process_time()
            work()
            best[work] = min(best[work], time.process_time() - begin)
    assert best[loss] < 1.5 * best[powers]


@pytest.mark.parametrize("name", WITH_TERMS)
def test_closed_form_is_the_minimum_on_the_budget(name: str) -> None:
    terms = scaling.terms_of(name)
    for compute in (1e18, 1e21, 1e25):
        n, d = scaling.optimal(name, compute)
        assert np.isclose(6 * n * d, compute, rtol=1e-12)
        best = scaling.laws["Besiroglu2024"].form.function(params=n, tokens=d, **terms)
        for factor in np.geomspace(0.5, 2, 41):
            other = scaling.laws["Besiroglu2024"].form.function(params=n * factor, tokens=d / factor, **terms)
            assert other >= best * (1 - 1e-12)
        # The slope along the budget vanishes.
        slope = (
            terms["alpha"] * terms["A"] * n ** -terms["alpha"]
            - terms["beta"] * terms["B"] * d ** -terms["beta"]
        )
        assert abs(slope) < 1e-9 * best


@pytest.mark.parametrize("name", CHINCHILLA)
@settings(max_examples=25, deadline=None)
@given(n=st.floats(1e7, 1e13), d=st.floats(1e8, 1e15))
def test_more_is_better_and_the_floor_holds(name: str, n: float, d: float) -> None:
    here = scaling.loss(law=name, params=n, tokens=d)
    assert scaling.loss(law=name, params=1.1 * n, tokens=d) < here
    assert scaling.loss(law=name, params=n, tokens=1.1 * d) < here
    assert here > scaling.terms_of(name)["E"]


@settings(max_examples=50, deadline=None)
@given(n=st.floats(1e7, 1e12), d=st.floats(1e9, 1e14))
def test_inverses(n: float, d: float) -> None:
    value = scaling.loss(params=n, tokens=d)
    assert np.isclose(scaling.tokens_for_loss("Besiroglu2024", n, value), d, rtol=1e-6)
    assert np.isclose(scaling.params_for_loss("Besiroglu2024", d, value), n, rtol=1e-6)


def test_unreachable_losses_are_infinite() -> None:
    assert np.isinf(scaling.tokens_for_loss("Besiroglu2024", 1e8, 2.0))
    assert np.isinf(scaling.compute_for_loss("Besiroglu2024", 1.8))
    assert np.isinf(kaplan.compute_for_loss(loss=1.5, non_embedding_params=1e8))


def test_compute_multiplier_inverts_the_frontier() -> None:
    def best(compute: float) -> float:
        n, d = scaling.optimal("Hoffmann2022", compute)
        return float(scaling.loss(law="Hoffmann2022", params=n, tokens=d))

    ratio = scaling.compute_multiplier(law="Hoffmann2022", loss=best(3e21), reference_loss=best(1e21))
    assert np.isclose(ratio, 3.0, rtol=1e-9)


def test_time_exponents_and_optimum() -> None:
    exponents = scaling.time_exponent("Besiroglu2024", np.array([1.0, 0.886, 0.826]))
    assert np.allclose(exponents, [0.513, 0.544, 0.563], atol=5e-4)
    day_on_one_4090 = scaling.time_exponent("Besiroglu2024", 0.826)
    assert 0.53 <= day_on_one_4090 <= 0.67
    for gamma in (0.5, 0.826, 1.0):
        c = 1e-12
        n, d = scaling.time_optimal_size("Besiroglu2024", 86_400.0, c, gamma)
        assert np.isclose(c * n**gamma * d, 86_400.0)
        best = scaling.loss(params=n, tokens=d)
        for factor in (0.8, 0.95, 1.05, 1.25):
            assert scaling.loss(params=n * factor, tokens=d / factor**gamma) > best


CROSS = {
    1e18: [(94.7e6, 1.76e9, 3.448), (80.5e6, 2.07e9, 3.491), (92.2e6, 1.81e9, 3.487), (105e6, 1.59e9), 30.2e6, (78.3e6, 2.13e9)],
    1e20: [(775e6, 21.5e9, 2.553), (853e6, 19.5e9, 2.553), (922e6, 18.1e9, 2.587), (1.03e9, 16.2e9), 872e6, (875e6, 19.0e9)],
    1e21: [(2.22e9, 75.2e9, 2.296), (2.78e9, 60.0e9, 2.306), (2.92e9, 57.2e9, 2.348), (3.24e9, 51.5e9), 4.68e9, (2.93e9, 56.9e9)],
    1e22: [(6.34e9, 263e9, 2.115), (9.05e9, 184e9, 2.141), (9.22e9, 181e9, 2.188), (10.2e9, 164e9), 25.1e9, (9.79e9, 170e9)],
    5.88e23: [(40.7e9, 2.41e12, 1.918), (73.0e9, 1.34e12, 1.974), (70.7e9, 1.39e12, 2.025), (76.9e9, 1.27e12), 492e9, (82.9e9, 1.18e12)],
    1e25: [(149e9, 11.2e12, 1.838), (312e9, 5.34e12, 1.912), (292e9, 5.72e12, 1.964), (315e9, 5.30e12), 3.9e12, (366e9, 4.55e12)],
}  # fmt: skip


@pytest.mark.parametrize("compute", CROSS)
def test_laws_side_by_side(compute: float) -> None:
    *with_loss, porian, kaplan_size, deepseek = CROSS[compute]
    for name, (n, d, value) in zip(
        ("Hoffmann2022", "Besiroglu2024", "Muennighoff2023"), with_loss, strict=True
    ):
        found_n, found_d = scaling.optimal(name, compute)
        assert np.isclose(found_n, n, rtol=0.01)
        assert np.isclose(found_d, d, rtol=0.01)
        assert np.isclose(scaling.loss(law=name, params=found_n, tokens=found_d), value, atol=1.5e-3)
    assert np.allclose(scaling.optimal("Porian2024", compute), porian, rtol=0.01)
    assert np.isclose(scaling.optimal("Kaplan2020", compute)[0], kaplan_size, rtol=0.01)
    assert np.allclose(scaling.optimal("DeepSeek2024", compute), deepseek, rtol=0.01)


def test_sardana_constants_at_1e21() -> None:
    n, d = scaling.optimal("Sardana2024", 1e21)
    assert np.allclose([n, d], [2.28e9, 73.0e9], rtol=0.005)
    assert np.isclose(scaling.loss(law="Sardana2024", params=n, tokens=d), 2.3275, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(n=st.floats(1e7, 1e12), d=st.floats(1e8, 1e13), share=st.floats(1.0, 100.0))
def test_repetition_is_the_identity_up_to_one_epoch(n: float, d: float, share: float) -> None:
    for name in ("Besiroglu2024", "Gemstones2025ParamsTokens", "Kaplan2020"):
        fresh = scaling.loss(law=name, params=n, tokens=d)
        assert scaling.loss(law=name, params=n, tokens=d, unique_tokens=d * share) == fresh
        assert scaling.loss(law=name, params=n, tokens=d, unique_tokens=np.nan) == fresh


@settings(max_examples=50, deadline=None)
@given(n=st.floats(1e7, 1e12), u=st.floats(1e8, 1e12), epochs=st.floats(1.0, 1e4))
def test_repetition_is_bounded_continuous_and_monotone(n: float, u: float, epochs: float) -> None:
    effective = data.effective_tokens(tokens=u * epochs, unique_tokens=u)
    assert u * (1 - 1e-12) <= effective <= min(u * epochs, u * (1 + data.REPEAT_CONSTANT)) * (1 + 1e-12)
    here = scaling.loss(params=n, tokens=u * epochs, unique_tokens=u)
    assert scaling.loss(params=n, tokens=u * epochs, unique_tokens=1.05 * u) <= here + 1e-12
    assert here >= scaling.loss(params=n, tokens=u * epochs) - 1e-12
    just_over = scaling.loss(params=n, tokens=u * (1 + 1e-9), unique_tokens=u)
    assert np.isclose(just_over, scaling.loss(params=n, tokens=u), rtol=1e-6)


def test_repetition_for_small_models_in_the_published_law() -> None:
    point = {"params": 1e7, "tokens": 1e10}
    plain = scaling.loss(law="Muennighoff2023", **point)
    assert np.isclose(scaling.loss(law="Muennighoff2023", **point, unique_tokens=2e10), plain, rtol=1e-14)


def test_limited_corpus_lowers_the_optimal_size() -> None:
    n, d = scaling.optimal("Besiroglu2024", 1e22)
    same = scaling.optimal_repeated("Besiroglu2024", 1e22, 1e13)
    assert np.allclose(same, (n, d), rtol=1e-4)
    small, many = scaling.optimal_repeated("Besiroglu2024", np.full(2, 1e22), np.array([3e10, 1e10]))
    assert np.all(small < n)
    assert np.all(many > d)


def test_serving_demand() -> None:
    wanted = inference.quality_loss("Sardana2024", 30e9)
    n, d = inference.lifetime_optimal("Sardana2024", loss=wanted, demand=np.geomspace(1e9, 1e15, 13))
    assert np.all(np.diff(n) < 0)
    assert np.all(np.diff(d) > 0)
    none = inference.lifetime_optimal("Sardana2024", loss=wanted, demand=0.0)
    assert np.allclose(none, (30e9, scaling.optimal_tokens_for_size("Sardana2024", 30e9)), rtol=1e-9)
    assert np.allclose(scaling.loss(law="Sardana2024", params=n, tokens=d), wanted, rtol=1e-12)
    out = inference.saving("Sardana2024", quality_params=30e9, demand=np.geomspace(1e9, 1e15, 13))
    assert np.all(out["saving_share"] >= -1e-12)
    assert np.isnan(inference.lifetime_optimal("Sardana2024", loss=1.0, demand=1e12)[0])


@settings(max_examples=50, deadline=None)
@given(b=st.floats(1e3, 1e9), critical=st.floats(1e4, 1e8))
def test_batch_hyperbola(b: float, critical: float) -> None:
    steps = batch.steps(min_steps=1.0, batch_tokens=b, critical_batch_tokens=critical)
    tokens = batch.tokens_needed(min_tokens=1.0, batch_tokens=b, critical_batch_tokens=critical)
    assert np.isclose((steps - 1) * (tokens - 1), 1.0, rtol=1e-6)
    taught = batch.effective_tokens(tokens, b, critical)
    assert np.isclose(taught, 1.0)
    assert np.isclose(batch.min_steps(steps=steps, batch_tokens=b, critical_batch_tokens=critical), 1.0)


def test_batch_laws_agree_and_say_what_they_need() -> None:
    for name in batch.laws:
        if name == "PowerLines2025":
            with pytest.raises(SimulatorError, match="fit"):
                batch.recommended_batch_tokens(law=name, tokens=1e11)
        else:
            value = batch.recommended_batch_tokens(law=name, params=1.2e9, tokens=24e9, loss=2.6)
            assert 2e5 < value < 4e6, name
    with pytest.raises(SimulatorError, match="needs loss"):
        batch.recommended_batch_tokens(law="Kaplan2020", tokens=1e11)
    with pytest.raises(UnknownNameError, match="Zhang2024"):
        batch.recommended_batch_tokens(law="Zhang", tokens=1e11)


def test_gadre_is_a_chinchilla_law() -> None:
    law = scaling.laws["Gadre2024RedPajama"]
    n, d = np.geomspace(1e7, 1e11, 5), np.geomspace(1e9, 1e13, 5)
    terms = overtraining.chinchilla_terms(**law.constants)
    assert np.isclose(terms["alpha"], 2 * law.constants["eta"])
    same = scaling.laws["Besiroglu2024"].form.function(params=n, tokens=d, **terms)
    assert np.allclose(law(params=n, tokens=d), same, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(n=st.floats(1e3, 1e14))
def test_parameter_conventions(n: float) -> None:
    total = data.total_params(non_embedding_params=n)
    assert total > n
    assert np.isclose(data.non_embedding_params(params=total), n, rtol=1e-9)
    assert data.total_params(non_embedding_params=1e15) / 1e15 < 1.001


def test_performance_law() -> None:
    depth = quality.performance_law_best_depth(hidden_size=4096, intermediate_size=14336)
    assert np.isclose(depth, 0.6044 / (10 / 14336 + 20 / 4096), rtol=1e-4)
    layers = np.arange(20, 200)
    score = quality.performance_law_mmlu(
        num_hidden_layers=layers, hidden_size=4096, intermediate_size=14336, tokens=2e12, params=8e9
    )
    assert layers[np.argmax(score)] == round(float(depth))


def test_pass_at_k() -> None:
    assert np.isclose(samples.pass_at_k(samples=1, alpha=2.0, beta=0.5), 0.5 / 2.5)
    curve = samples.pass_at_k(samples=np.arange(1, 200), alpha=2.0, beta=0.5)
    assert np.all(np.diff(curve) > 0)
    rng = np.random.default_rng(0)
    failure = rng.beta(2.0, 0.5, 400_000)
    assert np.isclose(curve[9], 1 - np.mean(failure**10), atol=3e-3)
    far = 1 - samples.pass_at_k(samples=np.array([1e4, 1e5]), alpha=2.0, beta=0.5)
    assert np.isclose(np.log10(far[0] / far[1]), 0.5, atol=1e-3)


def test_tasks_end_at_chance_and_at_the_top() -> None:
    for name, task in quality.tasks.items():
        low = quality.sigmoid_accuracy(loss=50.0, **task.sigmoid)
        assert np.isclose(low, task.sigmoid["a"] + task.sigmoid["b"])
        assert quality.ladder_accuracy(task=name, params=7e9, tokens=4e12) > low
    with pytest.raises(UnknownNameError, match="hellaswag"):
        quality.ladder_accuracy(task="hellswag", params=7e9, tokens=4e12)


def test_experts() -> None:
    assert np.isclose(moe.effective_experts(num_experts=1, start=2.5, saturation=200), 2.5)
    assert moe.effective_experts(num_experts=1e9, start=2.5, saturation=200) < 200
    law = scaling.laws["Clark2022SBase"]
    gain = [
        law(dense_params=n, num_experts=1.0) / law(dense_params=n, num_experts=64.0) for n in (1e7, 1e9, 1e11)
    ]
    assert gain[0] > gain[1] > gain[2]


def test_schedules() -> None:
    law = scaling.laws["MultiPower2025Size100M"]
    flat = np.full(4000, 3e-4)
    at = np.array([1000, 2500, 4000])
    constants = law.constants
    power = constants["L0"] + constants["A"] * (np.cumsum(flat)[at - 1]) ** -constants["alpha"]
    assert np.allclose(schedule.multi_power(learning_rates=flat, at=at, **constants), power)
    rates = schedule.cosine(steps=60, peak=3e-4)
    total, slow = np.cumsum(rates), 0.0
    for k in range(1, 60):
        since = total[-1] - total[k - 1]
        reach = constants["C"] * rates[k] ** -constants["gamma"] * since
        slow += (rates[k - 1] - rates[k]) * (1 - (reach + 1) ** -constants["beta"])
    expected = constants["L0"] + constants["A"] * total[-1] ** -constants["alpha"] - constants["B"] * slow
    assert np.isclose(law(learning_rates=rates), expected, rtol=1e-12)
    decayed = schedule.warmup_stable_decay(steps=4000, peak=3e-4)
    assert law(learning_rates=decayed) < law(learning_rates=flat)


def test_shape_corrections() -> None:
    shape = {"hidden_size": 2048.0, "num_hidden_layers": 2048.0 / 70}
    for name in ("Gemstones2025", "Bian2025a", "Bian2025b"):
        typical = scaling.shape_correction(shape_law=name, params=1.4e9, tokens=3e10, **shape)
        assert np.isclose(typical, 1.0, rtol=1e-9)
        odd = scaling.shape_correction(
            shape_law=name, params=1.4e9, tokens=3e10, hidden_size=8192.0, num_hidden_layers=2.0
        )
        assert 1.0 < odd < 1.4, name
    base = scaling.loss(params=1.4e9, tokens=3e10)
    with_shape = scaling.loss(params=1.4e9, tokens=3e10, shape_law="Bian2025a", **shape)
    assert np.isclose(base, with_shape, rtol=1e-9)
    with pytest.raises(UnknownNameError, match="Gemstones2025"):
        scaling.loss(params=1e9, tokens=2e10, shape_law="Hoffmann2022", **shape)
    with pytest.raises(SimulatorError, match="num_hidden_layers"):
        scaling.loss(params=1e9, tokens=2e10, shape_law="Bian2025a")


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_the_solvable_model_has_its_exponents(alpha: float) -> None:
    sizes = (20, 80)
    by_features = [
        random_features(params=n, samples=2000, exponent=alpha, latent=1500, repeats=2) for n in sizes
    ]
    slope = -np.diff(np.log(by_features))[0] / np.diff(np.log(sizes))[0]
    assert np.isclose(slope, alpha, atol=0.25)
