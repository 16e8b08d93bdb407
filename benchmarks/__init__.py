"""Programs that print a number."""
