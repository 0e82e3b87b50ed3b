"""The task ``relight``: the lighting of a shot, and the same shot well lit."""
