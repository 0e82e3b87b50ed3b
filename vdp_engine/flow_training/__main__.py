"""Train the network that mends flow, or put its best weights where the engine looks for them.

    python -m vdp_engine.flow_training FOLDER --steps 8000 --minutes 60
    python -m vdp_engine.flow_training FOLDER --export
    python -m vdp_engine.flow_training FOLDER --sheet

Training goes on where the last one in FOLDER stopped; a new one begins as DIS, or with the weights of ``--from``, those
of the engine for instance. With ``--first-round`` it learns to mend what these weights made of DIS, too: the second
round of the engine. ``curve.jsonl`` there holds its curve, ``best.safetensors`` the
weights that did best on scenes that are not trained on, ``scenes.png`` some scenes to look at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vdp_engine import machine
from vdp_engine.settings import Machine


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m vdp_engine.flow_training", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=8000, help="of the whole training, not of this run")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long")
    parser.add_argument("--from", dest="start", type=Path, metavar="FILE", help="weights to begin a new training with")
    parser.add_argument("--first-round", type=Path, metavar="FILE", help="train both rounds, the first done with these")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=4e-4, help="learning rate")
    parser.add_argument("--float32", action="store_true", help="no bfloat16: for processors that lack it")
    parser.add_argument("--export", action="store_true", help="put FOLDER's best weights into the package instead")
    parser.add_argument("--sheet", action="store_true", help="draw scenes into FOLDER/scenes.png instead")
    chosen = parser.parse_args()
    lent = Machine.parse(device=chosen.device, threads=chosen.threads)
    machine.apply(lent)

    import torch

    from vdp_engine import files
    from vdp_engine.flow_training.train import Training
    from vdp_engine.motion.boxed import WEIGHTS

    torch.set_num_threads(machine.threads(lent))
    if chosen.export:
        best = chosen.folder / "best.safetensors"
        files.write_bytes(WEIGHTS, best.read_bytes())
        print(f"{best} is now {WEIGHTS}")
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.sheet:
        import cv2

        from vdp_engine.flow_training.sheet import sheet

        cv2.imwrite(str(chosen.folder / "scenes.png"), sheet(8, chosen.seed))
        return
    if chosen.first_round:
        files.write_bytes(chosen.folder / "first.safetensors", chosen.first_round.read_bytes())
    training = Training(
        chosen.folder, chosen.steps, chosen.seed, rate=chosen.rate, bfloat16=not chosen.float32, start=chosen.start,
        device=machine.torch_device(lent),
    )  # fmt: skip
    training.run(chosen.minutes, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
