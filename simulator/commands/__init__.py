"""The verbs of the command line, one module each; see CONTRIBUTING.md.

This table is all that ``trainsim --help`` reads. A verb is listed when its module exists.
"""

from __future__ import annotations

SUMMARIES: dict[str, str] = {
    "run": "Answer a scenario.",
    "new": "Write a scenario to start from.",
    "compare": "Answer a scenario on several accelerators or for several values, side by side.",
    "diff": "Show where two plans differ.",
    "evaluate": "Answer a scenario for every plan of a CSV.",
    "sweep": "Answer a scenario over a grid of values.",
    "report": "Write an answer as one page of HTML.",
    "serve": "Serve a local page with sliders.",
    "hardware": "List the accelerators, or show one with its sources.",
    "prices": "List prices by accelerator, provider, terms and date.",
    "laws": "List the scaling laws with their ranges and sources.",
    "validate": "Predict published measurements and report the error.",
    "support": "Say what has measured backing, and the error there.",
    "calibrate": "Fit the constants of the clock to your own runs.",
    "measure": "Measure an accelerator for a calibration.",
    "import": "Turn a file of another training program into a scenario.",
    "export": "Write the chosen plan for Megatron-LM, torchtitan, nanotron, DeepSpeed or Hugging Face.",
    "trace": "Write one step of the plan as a timeline for Perfetto.",
    "watch": "Compare a training log with its prediction.",
    "grow": "Grow a Hugging Face checkpoint into a larger model.",
    "warnings": "Explain a warning of an answer.",
    "doctor": "Check the installation.",
    "completion": "Print the script that completes ids, fields and files in your shell.",
    "schema": "Print or write the JSON schemas of the YAML files.",
}
