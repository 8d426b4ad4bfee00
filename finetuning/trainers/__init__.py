"""The training loops, made fast on a CPU, one for each way to learn: on TRL's trainers, and transformers' own."""
