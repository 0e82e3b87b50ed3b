"""The task ``layers``: what moves, what it looks like, and whose it is (X = Σ α_i ⊙ L_i)."""
