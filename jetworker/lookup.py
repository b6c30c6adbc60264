"""Looking up what became of a start whose outcome is unknown."""
