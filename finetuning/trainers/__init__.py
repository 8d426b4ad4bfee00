"""The training loops: `causal` on trl.SFTTrainer, `classifier` on transformers.Trainer."""
