"""The ``vdp`` command: parses, calls and prints. What it does lies in the rooms it calls."""
