"""Measured comparisons with what a user would pick instead; every one first checks that both sides agree."""
