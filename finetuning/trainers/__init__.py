"""The training loops, `causal` on trl.SFTTrainer and `classifier` on transformers.Trainer, made fast on a CPU."""
