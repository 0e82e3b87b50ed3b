"""Which frames a fit looks at: all of a short shot, well-spread pairs of a long one."""

from __future__ import annotations

MAX_KEY_PAIRS = 48


def key_pairs(count: int, most: int = MAX_KEY_PAIRS) -> tuple[tuple[int, int], ...]:
    """Positions (i, i + 1) of consecutive frames out of ``count``, at most ``most`` pairs, evenly spread.

    The cost of a fit depends on these alone, so it stops growing where the shot has more than ``most`` + 1 frames. A
    shot of one frame gives the pair (0, 0).
    """
    if count == 1:
        return ((0, 0),)
    pairs = count - 1
    chosen = range(pairs) if pairs <= most else sorted({round(k * (pairs - 1) / (most - 1)) for k in range(most)})
    return tuple((i, i + 1) for i in chosen)
