"""The task ``dehaze``: the airlight, how much of the light comes through, and the clear picture behind."""
