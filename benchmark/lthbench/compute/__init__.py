"""The machine: devices, processes, random numbers, CUDA graphs."""
