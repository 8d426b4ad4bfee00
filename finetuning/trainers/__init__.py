"""The training loops, made fast on a CPU: `causal` on trl.SFTTrainer, `classifier` on transformers.Trainer, and one for
each way that learns from answers of which some are better, on TRL's trainer of that name."""
