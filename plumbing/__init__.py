"""What every room uses and no domain: errors, doors, writing and reading files, what may be shown, the network."""
