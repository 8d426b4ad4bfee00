"""Who may ask what: the door, visitors, calls, and what all visitors share, such as open models."""
