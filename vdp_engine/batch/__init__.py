"""Many shots in one go: a manifest says which, each is a process of its own, and one report tells how they went."""

from vdp_engine.batch.manifest import Manifest, ManifestError, ShotSpec, load

__all__ = ["Manifest", "ManifestError", "ShotSpec", "load"]
