"""What became of an unknown start: looks at its job, and what may be concluded."""
