#!/bin/sh
# The whole experiment on one core: train (35 minutes), analyse, plot. Needs torch and this repository on the path.
set -eu
cd "$(dirname "$0")"
PYTHON="${PYTHON:-python}"
OUT="${1:-results/mine}"
export OMP_NUM_THREADS=1 PYTHONPATH="${PYTHONPATH:-../..}"
nice -n 19 "$PYTHON" train.py --preset cpu --out "$OUT"
nice -n 19 "$PYTHON" train.py --preset cpu --out "$OUT" --more half_rate
nice -n 19 "$PYTHON" train.py --preset cpu --out "$OUT" --more shorter
"$PYTHON" analyse.py "$OUT" --plot "$OUT/curves.png"
