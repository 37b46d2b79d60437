"""What the clock and the memory model assume, whatever a file says: words that several importers share."""

TP_OVERLAP = (
    "the clock assumes a fitted share of tensor-parallel traffic behind the matmuls, with it and without"
)
GRADIENTS = "the clock assumes that gradients travel behind the backward pass"
WIDTHS = "memory and traffic assume the program's usual width of gradients, states and scores"
KERNELS = "the clock assumes the kernels and routes of runs of the program that it was fitted to"
BUFFERS = "the clock and memory assume the program's usual buckets, buffers and prefetching"
"""Assumptions, each the end of a line that starts with the settings."""
