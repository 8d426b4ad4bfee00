"""Votes on which of two answers is better: kept, counted, and learned from."""
