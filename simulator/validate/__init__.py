"""Predictions against published measurements: step time, memory, loss, growth."""
