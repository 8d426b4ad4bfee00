"""What an answer is scored by.

What each metric is: `metric`. How it is computed for one answer: `labels` and `rouge`; for a test set: `evaluated`.
"""
