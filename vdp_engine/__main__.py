"""``python -m vdp_engine`` is the ``vdp`` command."""

from vdp_engine.cli.main import main

if __name__ == "__main__":
    main()
