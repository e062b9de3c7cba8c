"""Whether a network matches its dense parent: pure functions of the score table."""
