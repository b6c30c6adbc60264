"""From "may be started" to Jet's answer: who is next, and the start protocol."""
