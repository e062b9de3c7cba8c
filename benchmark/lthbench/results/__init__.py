"""What a run gives: the score table, its facts, and what is made of several."""
