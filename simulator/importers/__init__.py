"""Readers of other programs' model files."""
