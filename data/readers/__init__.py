"""Files, folders and the Hub → tables. Knows formats, and no task."""
