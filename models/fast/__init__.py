"""The fast path on a CPU: Llama-like layers, attention and LoRA by hand, equal to the libraries' own modules."""
