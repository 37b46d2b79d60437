"""Tables of a user's own runs as people write them: each mistake is one clear sentence or a named reason, never a guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator import library
from simulator.cli import main
from simulator.errors import SpecError
from simulator.validate import cases as tables
from simulator.validate import contradictions, counts, headers, slices
from simulator.validate.memory import read_rows
from simulator.validate.metrics import summary
from simulator.validate.profiles import PROFILES, is_known, profile_of

HEAD = "id,gpu,n_gpus,n_layers,d_model,n_heads,n_kv_heads,d_ff,mlp_type,vocab,seq_len,global_batch_seqs,micro_batch,tp,pp,zero_stage"
HEAD += ",framework,model_name,moe_experts,moe_topk,ep,measured_quantity,measured_value,notes"
ROWS = [
    "a,a100-sxm-80gb,8,30,4096,32,32,12000,swiglu,32000,4096,64,1,1,1,3,fsdp,,,,,step_time_s,9.5,",
    "b,a100-sxm-80gb,8,30,4096,32,32,12000,swiglu,32000,4096,64,2,1,1,3,fsdp,,,,,step_time_s,9.2,",
    "c,a100-sxm-80gb,8,30,4096,32,32,12000,swiglu,32000,2048,64,2,1,1,3,fsdp,,,,,step_time_s,4.6,",
]
TEXT = "\n".join([HEAD, *ROWS]) + "\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three runs, well written."""
    path = tmp_path / "runs.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def frame(**changes: Any) -> pd.DataFrame:
    """The three runs with other cells."""
    rows = [line.split(",") for line in ROWS]
    made = pd.DataFrame(rows, columns=HEAD.split(",")).replace("", np.nan).astype(object)
    return made.assign(**changes)


def predicted(**changes: Any) -> tables.Cases:
    """The first of them, read."""
    return tables.of_frame(frame(**changes).head(1))


# --- how a file is written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "mark"), [("utf-16", ","), ("utf-16", "\t")])
def test_what_excel_writes_is_read(table: Path, encoding: str, mark: str) -> None:
    plain = tables.read_frame(table)
    table.write_text(TEXT.replace(",", mark), encoding=encoding)
    pd.testing.assert_frame_equal(tables.read_frame(table), plain)
    assert headers.remark(table) == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04" + bytes(99), "an Excel workbook or an archive; save the sheet as CSV UTF-8"),
        (TEXT.encode("utf-16-le"), "it holds bytes that are no text; save it as CSV UTF-8"),
        (b"\xe4" + TEXT.encode(), "its text is not in UTF-8; save it as CSV UTF-8"),
        (TEXT.replace(",\n", ",,7\n").encode(), "its rows have more cells than its first line names columns"),
    ],
)
def test_what_is_no_table_is_one_sentence(
    table: Path, content: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_bytes(content)
    for arguments in (["validate", "--cases"], ["calibrate", "--out", str(table.parent / "out"), "--cases"]):
        assert main([*arguments, str(table)]) == 2
        heard = capsys.readouterr()
        assert heard.err.strip().splitlines() == [f"{table}: not a CSV table: {said}"]
        assert heard.out == ""
    assert not (table.parent / "out").exists()
    with pytest.raises(SpecError, match="not a CSV table"):
        read_rows(table)


def test_spaces_around_names_of_columns_are_dropped(table: Path) -> None:
    plain = tables.read_frame(table)
    table.write_text(TEXT.replace(HEAD, HEAD.replace(",", " , ")), encoding="utf-8")
    pd.testing.assert_frame_equal(tables.read_frame(table), plain)
    assert headers.remark(table) == ""


def test_a_comma_at_the_end_of_every_row_moves_nothing(table: Path) -> None:
    plain = tables.read_frame(table)
    table.write_text("\n".join([HEAD, *(f"{row}," for row in ROWS)]) + "\n", encoding="utf-8")
    pd.testing.assert_frame_equal(tables.read_frame(table), plain)


def test_a_table_without_a_row_calibrates_nothing(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(f"{HEAD}\n", encoding="utf-8")
    assert main(["calibrate", "--cases", str(table), "--out", str(table.parent / "out")]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert "the table holds no row" in heard.err
    assert not (table.parent / "out").exists()


def test_sets_are_written_all_or_not_at_all(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = table.parent / "out"
    (out / "fsdp.yaml").mkdir(parents=True)  # the last of three
    assert main(["calibrate", "--cases", str(table), "--out", str(out)]) == 2
    heard = capsys.readouterr()
    assert f"{out / 'fsdp.yaml'}: a folder is in the place of the file" in heard.err
    assert heard.out == ""
    assert [each.name for each in out.iterdir()] == ["fsdp.yaml"]


def test_words_that_no_measured_thing_holds_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support", "abacus"]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert "is called abacus" in heard.err


def test_a_table_of_memory_may_have_semicolons(tmp_path: Path) -> None:
    shipped = pd.read_csv(library.find("measurements", "memory"), low_memory=False).head(5)
    path = tmp_path / "memory.csv"
    shipped.to_csv(path, index=False, sep=";", decimal=",")
    assert list(read_rows(path)["id"]) == list(shipped["id"])


# --- what stands in it --------------------------------------------------------------------------------------------------


def test_a_column_of_words_is_one_reason_that_names_it() -> None:
    many = pd.concat([frame().head(1)] * 50, ignore_index=True)
    many["id"] = [f"r{i}" for i in range(50)]
    many["measured_value"] = [f"{i}.5 s" for i in range(50)]
    assert tables.of_frame(many).skipped == {"measured_value: not a number: 0.5 s": 50}
    assert predicted(n_gpus="8\0 GPUs").skipped == {"n_gpus: not a number: 8? GPUs": 1}


def test_a_row_written_twice_is_one_run() -> None:
    twice = pd.concat([frame(), frame()], ignore_index=True)
    cases = tables.of_frame(twice)
    assert (len(cases), cases.skipped) == (3, {"the same as an earlier row, id included": 3})
    assert (
        len(tables.of_frame(twice.drop(columns="id"))) == 6
    )  # without a name it may be a second measurement
    again = tables.of_frame(pd.concat([frame(), frame(measured_value="9.4")], ignore_index=True))
    assert len(again) == 6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_heads": "33"}, counts.WIDTH),
        ({"n_kv_heads": "5"}, counts.GROUPS),
        ({"moe_experts": "8", "moe_topk": "9"}, counts.CHOSEN),
        ({"moe_experts": "4", "moe_topk": "2", "ep": "8"}, counts.SPLIT),
        ({"pp": "64", "n_gpus": "64", "micro_batch": np.nan}, counts.SPLIT),
        ({"measured_value": "0.0095"}, contradictions.PEAK),
        ({"measured_quantity": "mfu", "measured_value": "150"}, contradictions.PEAK),
    ],
)
def test_what_cannot_be_is_left_out_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    cases = predicted(**changes)
    assert len(cases) == 0
    assert [text.startswith(f"contradicts itself: {reason}") for text in cases.skipped] == [True]
    assert reason in {each["reason"] for each in contradictions.find(frame(**changes).head(1))}


def test_a_stated_width_of_a_head_makes_an_odd_number_of_heads_possible() -> None:
    assert len(predicted(n_heads="24", n_kv_heads="24", notes="head_dim 128")) == 1


@pytest.mark.parametrize(
    ("word", "gated"), [(" SwiGLU ", 1), ("silu", 1), ("GeGLU", 1), ("gelu", 0), ("Squared ReLU", 0), ("", 0)]
)
def test_words_for_the_feed_forward_block(word: str, gated: int) -> None:
    assert float(predicted(mlp_type=word).shape.gated[0]) == gated


def test_an_unknown_feed_forward_block_is_a_reason_and_not_a_guess() -> None:
    assert predicted(mlp_type="bilinear").skipped == {"mlp_type not known: bilinear (gelu or swiglu)": 1}


def test_a_stated_block_is_not_replaced_by_that_of_a_model_of_the_same_sizes() -> None:
    sizes = {"n_layers": "32", "d_ff": "11008"}  # those of Llama 2 7B
    assert [float(predicted(**sizes, mlp_type=word).shape.gated[0]) for word in ("gelu", "swiglu", "")] == [
        0,
        1,
        1,
    ]


def test_a_run_without_a_name_of_its_model_is_a_model(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--cases", str(table)]) == 0
    shown = capsys.readouterr().out
    assert "model, 8 x a100-sxm-80gb" in shown
    assert "nan" not in shown


# --- software -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["hf", "generic", "Transformers 4.57", "PyTorch 2.6", "PyTorch DDP"])
def test_plain_pytorch_in_a_table_is_what_it_is_in_a_scenario(word: str) -> None:
    assert profile_of(word).software == "pytorch"
    cases = predicted(framework=word, zero_stage="0")
    assert cases.keys[0]["launch_s"][0] == "pytorch"
    assert float(cases.layout.autocast[0]) == 1
    assert float(predicted(framework=word, zero_stage="0", model_name="x LoRA").layout.autocast[0]) == 0
    assert profile_of("HF Trainer+DeepSpeed") is PROFILES["hf trainer"]


def test_software_that_nobody_knows_is_told(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(TEXT.replace(",fsdp,", ",OurStack 2.6,"), encoding="utf-8")
    expected = "no known word in framework, taken for a current Megatron-Core stack: OurStack 2.6 (3 rows)"
    for arguments in (["validate", "--cases"], ["calibrate", "--out", str(table.parent / "out"), "--cases"]):
        assert main([*arguments, str(table), "--json"]) == 0
        heard = capsys.readouterr()
        json.loads(heard.out)
        assert heard.err.count(expected) == 1
    assert all(is_known(word) for word in ("NeMo 24.09", "Megatron", "torchtitan"))
    assert main(["validate", "--cases", "--json"]) == 0  # what ships is not commented on
    assert capsys.readouterr().err == ""


# --- what is said of few rows -------------------------------------------------------------------------------------------


def test_there_is_no_order_of_two_rows_nor_of_equal_ones(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three = (np.arange(1.0, n + 1) for n in (1, 2, 3))
    assert [summary(each, each)["spearman"] for each in (one, two, three)] == [None, None, 1.0]
    assert summary(three, np.ones(3))["spearman"] is None
    table.write_text("\n".join([HEAD, ROWS[0]]) + "\n", encoding="utf-8")
    assert main(["validate", "--cases", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spearman"] is None
    assert main(["validate", "--cases", str(table)]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("  all rows")]
    assert line.split()[-3] == "-"


def test_a_mean_over_sources_leaves_out_those_without_an_order() -> None:
    values = {"predicted": np.array([1.0, 3.0, 2.0, 5.0]), "measured": np.array([1.0, 2.0, 3.0, 5.0])}
    values |= {"low": values["predicted"], "high": values["predicted"]}
    part = next(each for each in slices.SLICES if each.over_sources)
    scored = slices._scored(part, values, np.array(["a", "a", "a", "b"]), None)
    assert scored.figures["spearman"] == 0.5
