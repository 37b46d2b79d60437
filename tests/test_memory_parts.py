"""What a peak is made of: 32-bit weights under autocast, copies in 8 bits, the layer at work, the stage of the logits, split sequences."""

from __future__ import annotations

import pytest

from simulator.layout import Layout
from simulator.memory import MEMORY_PROFILES, peak
from simulator.memory.activations import layer_bytes
from simulator.memory.held import hold
from simulator.transformer import decoder, parameters

LLAMA = decoder(
    num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32, vocab_size=32000
)
MEGATRON = MEMORY_PROFILES["megatron"]


def test_under_autocast_weights_have_32_bits_and_a_copy_in_16() -> None:
    """No master copy beside them; embeddings and head are looked up and cast as they are used, so of them no copy stays."""
    plain, cast = (peak(LLAMA, Layout(autocast=on)) for on in (0, 1))
    whole, matrices = float(parameters(LLAMA)), float(hold(LLAMA, Layout(), stage="first").matrix)
    assert float(plain["weights"]) == 2 * whole
    assert float(cast["weights"]) == pytest.approx(4 * whole + 2 * matrices)
    assert float(cast["gradients"]) == 4 * whole
    assert float(plain["optimizer"]) == 12 * whole
    assert float(cast["optimizer"]) == 8 * whole
    assert float(cast["activations"]) > float(plain["activations"])  # inputs of the norms


def test_eight_bits_keep_a_copy_for_each_of_two_layouts_of_a_matmul() -> None:
    wide, narrow = (peak(LLAMA, Layout(), precision=each) for each in ("bf16", "fp8"))
    assert float(narrow["weights"] - wide["weights"]) == 2 * float(parameters(LLAMA))
    for name in ("gradients", "optimizer", "activations"):
        assert float(narrow[name]) == float(wide[name])


@pytest.mark.parametrize("recompute", [1, 2])
def test_the_layer_that_is_recomputed_is_whole_while_its_backward_pass_runs(recompute: int) -> None:
    layout = Layout(recompute=recompute, flash_attention=0, seq_length=2048)
    kept = float(layer_bytes(LLAMA, layout, constants=MEGATRON))
    whole = float(layer_bytes(LLAMA, layout.with_(recompute=0), constants=MEGATRON))
    assert whole > 1.5 * kept
    assert float(peak(LLAMA, layout, constants=MEGATRON)["activations"]) == pytest.approx(31 * kept + whole)


def test_the_stage_of_the_logits_may_be_the_fullest() -> None:
    """A vocabulary of a quarter of a million over narrow layers: logits and their gradients outweigh what the first stage keeps."""
    small = decoder(num_hidden_layers=8, hidden_size=512, num_attention_heads=8, vocab_size=262144)
    layout = Layout(pp=4, num_microbatches=8, recompute=2, micro_batch_size=2)
    first = peak(small, layout, stages=("first",))
    fullest = peak(small, layout)
    assert float(first["logits"]) == 0.0
    assert float(fullest["logits"]) > 0.0
    assert float(fullest["total"]) > 1.5 * float(first["total"])


def test_context_parallelism_divides_what_a_sequence_keeps() -> None:
    long = Layout(seq_length=32768, recompute=2)
    whole, split = (peak(LLAMA, long.with_(cp=cp)) for cp in (1, 8))
    for name in ("activations", "logits"):
        assert float(split[name]) == pytest.approx(float(whole[name]) / 8, rel=1e-9)
    assert float(split["weights"]) == float(whole["weights"])


def test_sequence_parallelism_divides_norms_and_residuals() -> None:
    """Eight bytes per token and unit of width (ten with dropout masks: Korthikanti et al., section 4.2.2) are whole without it."""
    layout = Layout(tp=8, seq_length=4096)
    alone, split = (
        float(layer_bytes(LLAMA, layout.with_(sequence_parallel=on), constants=MEGATRON)) for on in (0, 1)
    )
    hidden = MEGATRON.hidden_tensors * 2.0 * 4096 * 4096
    assert alone - split == pytest.approx(hidden * 7 / 8)


def test_frozen_weights_have_no_master_under_fsdp() -> None:
    """Adapters on a Llama 2 70B, 8 ranks of ZeRO 3: 2 B per frozen weight, as where the master is apart."""
    llama = decoder(
        num_hidden_layers=80,
        hidden_size=8192,
        intermediate_size=28672,
        num_attention_heads=64,
        num_key_value_heads=8,
        vocab_size=32000,
    )
    layout = Layout(dp=8, zero_stage=3, recompute=2, seq_length=2048)
    held = {
        (name, trained): peak(llama, layout, trainable=trained, constants=MEMORY_PROFILES[name])["weights"]
        for name in ("fsdp", "deepspeed")
        for trained in ("full", "lora")
    }
    assert held["fsdp", "lora"] == held["deepspeed", "lora"]
    assert held["fsdp", "full"] == 2 * held["deepspeed", "full"]
