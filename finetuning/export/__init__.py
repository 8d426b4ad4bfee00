"""Taking what was trained elsewhere, with its card."""
