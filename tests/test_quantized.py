"""Adapters on weights in 4 bits (QLoRA, arXiv:2305.14314): memory, time, and where they may be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator import calibrations, kernels, traffic
from simulator.clock import memory_copies
from simulator.device import Constants, Device
from simulator.errors import SpecError
from simulator.layout import NF4_BYTES, Layout
from simulator.memory import MEMORY_PROFILES, peak
from simulator.schema import Training, load_accelerator, load_scenario
from simulator.transformer import Shape, decoder
from simulator.validate import cases as tables
from simulator.validate.cases import of_frame

GIB = 2.0**30
LLAMA = {"7B": (32, 4096, 11008, 32), "13B": (40, 5120, 13824, 40), "65B": (80, 8192, 22016, 64)}
ONE = Layout(seq_length=512, recompute=2)
RUN: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "software": "hf",
    "training": {"tokens": "50M", "seq_length": 2048, "global_batch_size": 32, "micro_batch_size": 1},
    "hardware": {"accelerator": "rtx-4090-24gb", "n_gpus": 1},
}


def llama(size: str) -> Shape:
    layers, width, inner, heads = LLAMA[size]
    return decoder(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=inner,
        num_attention_heads=heads,
        vocab_size=32000,
    )


def held(size: str, trainable: str, layout: Layout = ONE, rank: int = 64) -> dict[str, float]:
    found = peak(
        llama(size), layout, trainable=trainable, lora_rank=rank, constants=MEMORY_PROFILES["deepspeed"]
    )
    return {name: float(value) for name, value in found.items()}


def asked(**training: Any) -> dict[str, Any]:
    return {**RUN, "training": {**RUN["training"], **training}}


# --- memory ---------------------------------------------------------------------------------------------------------


def test_a_weight_has_the_bits_of_the_paper() -> None:
    """Section 3: double quantization brings 0.5 bits of constants down to 0.127."""
    assert round(8 * NF4_BYTES, 3) == 4.127


def test_65b_is_trained_on_one_accelerator_of_48_gb() -> None:
    """The abstract; in 16 bits the weights alone take more than 120 GB."""
    assert held("65B", "qlora")["total"] < 48 * GIB
    assert held("65B", "lora")["weights"] > 120e9


def test_7b_weights_are_within_a_quarter_of_the_paper() -> None:
    """Section 2 states 5,048 MB for the 4-bit base model, and not what it counts beside 4.127 bits per weight."""
    weights = held("7B", "qlora", rank=0)["weights"]
    assert 0.75 * 5048e6 < weights < 5048e6


@pytest.mark.parametrize("size", LLAMA)
def test_layers_have_four_bits_and_tables_sixteen(size: str) -> None:
    shape = llama(size)
    tables_and_head = 2 * 32000 * float(shape.hidden_size) + float(shape.hidden_size)
    in_layers = held(size, "lora", rank=0)["weights"] / 2 - tables_and_head
    assert held(size, "qlora", rank=0)["weights"] == pytest.approx(
        NF4_BYTES * in_layers + 2 * tables_and_head
    )


def test_nothing_else_shrinks_and_one_matrix_is_written_out() -> None:
    lora, qlora = held("7B", "lora"), held("7B", "qlora")
    for name in ("gradients", "optimizer", "activations", "logits", "context"):
        assert qlora[name] == lora[name]
    assert qlora["gathered"] == 2 * 4096 * 11008


def test_sharded_weights_travel_and_rest_in_four_bits() -> None:
    layout = ONE.with_(dp=8, zero_stage=3)
    lora, qlora = held("65B", "lora", layout, rank=0), held("65B", "qlora", layout, rank=0)
    assert qlora["weights"] < 0.3 * lora["weights"]
    assert qlora["gathered"] < lora["gathered"]


def test_a_table_of_layouts_says_it_row_by_row() -> None:
    rows = ONE.with_(frozen=np.array([1.0, 1.0]), quantized=np.array([0.0, 1.0]))
    found = peak(llama("7B"), rows, lora_rank=64, constants=MEMORY_PROFILES["deepspeed"])["total"]
    assert found.tolist() == [held("7B", "lora")["total"], held("7B", "qlora")["total"]]


# --- time -----------------------------------------------------------------------------------------------------------


def machine() -> tuple[Device, Constants]:
    part = load_accelerator("a100-sxm-80gb")
    return calibrations.device_of(part, precision="bf16"), calibrations.constants_of(
        part, software="pytorch"
    )[0]


def clocked(layout: Layout) -> dict[str, float]:
    device, constants = machine()
    return {
        name: float(value) for name, value in memory_copies(llama("7B"), layout, device, constants).items()
    }


def test_every_pass_writes_every_layer_out() -> None:
    plain = ONE.with_(frozen=1, num_microbatches=3)
    packed = plain.with_(quantized=1)
    device, constants = machine()
    once = float(kernels.dequantize_time(llama("7B"), packed, device, constants, sparse=False))
    weights = 4 * 4096**2 + 3 * 4096 * 11008
    assert once == pytest.approx(
        (NF4_BYTES + 2) * weights / float(device.memory_bandwidth * constants.hbm_efficiency)
    )
    found, base = clocked(packed), clocked(plain)
    passes = 3  # forward, backward, and the forward that full recomputation repeats
    assert found["memory"] - base["memory"] == pytest.approx(3 * 32 * passes * once)
    assert {name for name in found if found[name] != base[name]} <= {"memory", "host"}


def test_gathers_move_a_quarter() -> None:
    layout = Layout(dp=64, zero_stage=3, frozen=1)
    device, constants = machine()
    forward = [
        float(traffic.gather_time(llama("65B"), each, device, constants)[0])
        for each in (layout, layout.with_(quantized=1))
    ]
    assert forward[1] < 0.3 * forward[0]


# --- scenarios and rows ---------------------------------------------------------------------------------------------


def test_a_scenario_may_ask_for_it() -> None:
    lora, qlora = sim.run(asked(trainable="lora")), sim.run(asked(trainable="qlora", lora_rank=16))
    assert qlora.answer["memory_gib"] < 0.6 * lora.answer["memory_gib"]
    assert qlora.answer["step_time_s"] > lora.answer["step_time_s"] * 0.9
    assert any("4.127 bits" in text for text in qlora.assumptions)
    assert not any("4.127 bits" in text for text in lora.assumptions)
    assert qlora.answer["loss"] is None


@pytest.mark.parametrize("change", [{"precision": "fp8"}, {"precision": "fp32"}, {"autocast": True}])
def test_the_matmuls_are_in_sixteen_bits(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="written out in 16 bits"):
        Training.model_validate({"trainable": "qlora", **change})


def test_it_is_named_where_adapters_in_sixteen_bits_do_not_fit() -> None:
    data = {**asked(), "model": "qwen2.5-32b", "hardware": {"accelerator": "rtx-5090-32gb", "n_gpus": 1}}
    found = sim.run(load_scenario(data))
    assert "training.trainable: qlora, for a fine-tune" in found.infeasible["smallest_change"]


def rows(*names: str) -> tables.Cases:
    import pandas as pd

    row = {
        "framework": "hf trainer",
        "n_gpus": 1,
        "n_layers": 32,
        "d_model": 4096,
        "n_heads": 32,
        "n_kv_heads": 8,
        "d_ff": 14336,
        "vocab": 128256,
        "seq_len": 2048,
        "global_batch_seqs": 16,
        "micro_batch": 1,
        "zero_stage": 0,
        "measured_quantity": "step_time_s",
        "measured_value": 14.2,
    }
    parts = ("RTX 4090", "RTX4090", "rtx-4090-24gb")
    return of_frame(
        pd.DataFrame(
            [{**row, "gpu": gpu, "model_name": name} for name, gpu in zip(names, parts, strict=False)]
        )
    )


def test_rows_say_it_in_the_name_of_the_model() -> None:
    found = rows("Llama-3-8B QLoRA", "Llama-3-8B LoRA", "Llama-3-8B")
    assert found.layout.quantized.tolist() == [1, 0, 0]
    assert found.layout.frozen.tolist() == [1, 1, 0]


def test_two_spellings_are_one_accelerator() -> None:
    assert set(rows("A QLoRA", "B LoRA", "C").gpu.tolist()) == {"RTX 4090"}
