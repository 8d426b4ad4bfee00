"""What a GPU makes of this project, in eight minutes on a bare machine: `python -m benchmarks.gpu`."""
