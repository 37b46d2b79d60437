"""The registry: every law is complete, found by name, and honest about what it does not know."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import scaling
from simulator.errors import SimulatorError, UnknownNameError

PROMISED = """Kaplan2020 Kaplan2020Params Kaplan2020Tokens Kaplan2020Compute Kaplan2020ComputeMin Kaplan2020Steps
    Henighan2020Math Henighan2020 Hoffmann2022 Besiroglu2024 Muennighoff2023 Gadre2024C4 Gadre2024RedPajama
    Gadre2024RefinedWeb Su2024 Guo2024 NanoLM2023Gpt7k Droppo2021 Ghorbani2021 Maloney2022 Krajewski2024
    Clark2022SBase Abnar2025 Kumar2024 MultiPower2025Size25M Tissue2024 Gemstones2025 Bian2025a Bian2025b Lin2024LaMiniFlan
    Ivgi2022 Snell2024 Levi2024 PassUntil2023 Ruan2024 Farseer2025 Sardana2024 OlmoLadder2024C4""".split()


def test_promised_laws_are_there() -> None:
    assert set(PROMISED) <= set(scaling.laws)


@pytest.mark.parametrize("name", scaling.laws)
def test_every_law_is_complete(name: str) -> None:
    law = scaling.laws[name]
    assert law.name == name
    assert law.equation
    assert law.corpus
    assert law.tokenizer
    assert law.source.startswith(("arXiv:", "https://"))
    assert law.provenance in ("printed", "refit", "form")
    assert law.inputs
    assert all(low < high for low, high in law.range.values())
    assert set(law.range) <= {*law.inputs, "params", "tokens"}
    if law.provenance == "form":
        assert not law.constants
        with pytest.raises(SimulatorError, match="fit"):
            law(**dict.fromkeys(law.inputs, 1.0))
    else:
        assert set(law.constants) == set(law.form.parameters)
        assert all(np.isfinite(v) for v in law.constants.values())


def test_nothing_recalled_ships() -> None:
    for name in (
        "Abnar2025",
        "Farseer2025",
        "Su2024",
        "Kumar2024",
        "Maloney2022",
        "Droppo2021",
        "Ghorbani2021",
        "Snell2024",
    ):
        assert not scaling.laws[name].has_constants, name


def test_laws_cannot_be_changed() -> None:
    law = scaling.laws["Besiroglu2024"]
    with pytest.raises(TypeError):
        law.constants["E"] = 1.0  # type: ignore[index]
    with pytest.raises(AttributeError):
        law.name = "mine"  # type: ignore[misc]


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Besiroglu2024"):
        scaling.get("besiroglu")
    with pytest.raises(UnknownNameError):
        scaling.loss(law="nonsense", params=1e9, tokens=2e10)
    with pytest.raises(SimulatorError, match="Besiroglu2024"):
        scaling.optimal("Kaplan2020Steps", 1e21)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(SimulatorError, match="hidden_size"):
        scaling.loss(law="Gemstones2025", params=1e9, tokens=2e10)
    with pytest.raises(SimulatorError, match="not a loss"):
        scaling.loss(law="Bian2025b", params=1e9, tokens=2e10)


def test_ranges() -> None:
    assert scaling.laws["Besiroglu2024"].in_range(params=1e9, tokens=2e10)
    inside = scaling.laws["Besiroglu2024"].in_range(params=np.array([1e9, 1e13]), tokens=2e10)
    assert inside.tolist() == [True, False]
    assert scaling.methods(1e13, 1e15) == []
    assert "Gemstones2025" not in scaling.methods(1e9, 2e10)
    assert "Gemstones2025" in scaling.methods(1e9, 2e10, hidden_size=2048, num_hidden_layers=16)
    assert "KyoTakano2024" in scaling.methods(1e13, 1e15, check_range=False)


def test_kaplan_counts_without_embeddings() -> None:
    given = scaling.loss(law="Kaplan2020", params=1e9, tokens=2e10, non_embedding_params=9.5e8)
    assert given == scaling.laws["Kaplan2020"](non_embedding_params=9.5e8, tokens=2e10)
    assert scaling.loss(law="Kaplan2020", params=1e9, tokens=2e10) > scaling.laws["Kaplan2020"](
        non_embedding_params=1e9, tokens=2e10
    )


def test_a_size_of_zero_is_a_limit_and_a_negative_one_a_mistake() -> None:
    with np.errstate(divide="ignore"):
        assert scaling.loss(params=1e9, tokens=0.0) == np.inf
    with pytest.raises(SimulatorError, match="at least zero"):
        scaling.loss(params=-1.0, tokens=2e10)
