"""Money and energy: definitions, limits, scalar and array agree."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import energy, money


def test_time_that_money_buys_costs_that_money():
    seconds = money.affordable_s(usd=60_000, n_gpus=64, usd_per_gpu_hour=2.99)
    hours = money.gpu_hours(n_gpus=64, seconds=seconds)
    assert money.cost_usd(gpu_hours=hours, usd_per_gpu_hour=2.99) == pytest.approx(60_000)


def test_purchase_is_written_off_over_its_life():
    hourly = money.hourly_purchase_price(usd_per_gpu=30_000, years=4, share_used=0.5)
    assert hourly * 4 * 365 * 24 * 0.5 == pytest.approx(30_000)


def test_serving_follows_sardana_and_utilisation_lies_between_its_parts():
    one = money.serving_gpu_seconds(active_params=7e9, tokens=1e12, peak_flops=312e12, utilisation=0.5)
    assert one == pytest.approx(2 * 7e9 * 1e12 / (0.5 * 312e12))
    mixed = money.request_utilisation()
    assert 0.01 < mixed < 0.5
    assert money.request_utilisation(generated_tokens=0) == pytest.approx(0.5)
    assert money.request_utilisation(prompt_tokens=0) == pytest.approx(0.01)


def test_energy_units_and_carbon():
    power = energy.power_per_gpu_w(tdp_w=700, host_power_w=4600, accelerators_per_node=8, pue=1.25)
    assert power == pytest.approx((700 + 575) * 1.25)
    mwh = energy.energy_mwh(n_gpus=64, seconds=3600, power_per_gpu_w=power)
    assert mwh == pytest.approx(64 * power / 1e6)
    assert energy.co2e_t(energy_mwh=mwh, grid_g_per_kwh=400) == pytest.approx(mwh * 0.4)
    seconds = energy.affordable_s(
        joules=energy.energy_j(n_gpus=4, seconds=77, power_per_gpu_w=9), n_gpus=4, power_per_gpu_w=9
    )
    assert seconds == pytest.approx(77)


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (money.gpu_hours, {"n_gpus": 8, "seconds": np.array([1.0, 3600.0])}),
        (money.usd_per_m_tokens, {"cost_usd": np.array([1.0, 5.0]), "tokens": 1e9}),
        (energy.energy_mwh, {"n_gpus": np.array([1, 2]), "seconds": 60.0, "power_per_gpu_w": 700.0}),
    ],
)
def test_vector_equals_scalar(function, numbers):
    whole = function(**numbers)
    for index in range(2):
        one = {k: (v[index] if isinstance(v, np.ndarray) else v) for k, v in numbers.items()}
        assert function(**one) == whole[index]
