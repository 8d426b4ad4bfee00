"""What answers without tuning: constants, word counts, copied turns, a frozen base, a base shown examples."""
