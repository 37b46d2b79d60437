"""What serving costs is the user's to say: a published figure of single requests only stands in for it."""

from __future__ import annotations

import pytest

import simulator as sim
from simulator.cli import main
from simulator.errors import SpecError


def test_utilisation_divides_the_cost_of_serving_and_moves_the_answer() -> None:
    usual, batched = (
        sim.run("inference-heavy", set=changes) for changes in ((), ("inference.utilisation=30 %",))
    )
    assert batched.answer["params"] > 2 * usual.answer["params"]
    per_param = [one.answer["serving_gpu_hours"] / one.answer["active_params"] for one in (usual, batched)]
    assert per_param[0] / per_param[1] == pytest.approx(0.30 / 0.0132, rel=0.01)
    assert any("inference.utilisation sets it" in text for text in usual.assumptions)
    assert any("30.0 % of their 16-bit peak (the scenario's)" in text for text in batched.assumptions)
    for one in (usual, batched):
        assert one.answer["lifetime_cost_usd"] <= 150_000 * 1.001


def test_the_headline_names_the_whole_bill(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "inference-heavy"]) == 0
    assert "and with serving $150k" in capsys.readouterr().out.split("Model")[0]


@pytest.mark.parametrize("value", ["0", "1.5", "-10 %"])
def test_a_share_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SpecError, match="utilisation"):
        sim.run("inference-heavy", set=[f"inference.utilisation={value}"])
