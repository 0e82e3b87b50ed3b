"""The model and the checkpoint on disk: safetensors, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor

from vdp_engine import files


@dataclass(frozen=True)
class Stored:
    """Tensors by name, and what they are.

    Attributes:
        tensors: names are ``group/name``.
        facts: JSON-able; ``digest`` says what they were made from.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors of a group, by their names within it."""
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def grouped(**groups: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of several groups under ``group/name``, on the CPU."""
    return {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    }


def save(path: Path, stored: Stored) -> None:
    """Write a file; TryAgainError where the disk does not take it."""
    files.write_bytes(path, serialised(stored.tensors, {"facts": json.dumps(stored.facts)}))


def facts(path: Path) -> dict[str, Any]:
    """What a file says of itself, from its header alone; empty where it is missing or damaged."""
    try:
        with safe_open(path, "pt") as stored:
            return dict(json.loads((stored.metadata() or {}).get("facts", "{}")))
    except (OSError, SafetensorError, ValueError):
        return {}


def load(path: Path, digest: str) -> Stored | None:
    """The file, if it is there, whole, and was made from what ``digest`` stands for."""
    found = facts(path)
    if found.get("digest") != digest:
        return None
    with safe_open(path, "pt") as stored:
        # Cloned: the file may be replaced while its mapping is still in use.
        tensors = {name: torch.clone(stored.get_tensor(name)) for name in stored.keys()}  # noqa: SIM118
    return Stored(tensors, found)
