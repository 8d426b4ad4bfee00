"""Any models on the same rows: which one is better, what it broke, and how sure that is."""
