"""VDP: takes one shot apart into the layers a compositor works with."""

__version__ = "0.1.0"
