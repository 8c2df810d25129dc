"""Where to split a zstd frame into blocks, so that tensors of different kinds get entropy tables of their own.

Quantized weights hold no repetitions, so the entropy coder does all the work; by default zstd codes 3-bit layers,
5-bit layers, scales and names with a single table. Modelled on the block splitting of zstd's optimal levels, which
goes by repetitions and so doesn't split here.
"""

import itertools
import math
from collections import Counter
from dataclasses import dataclass

LEAST_BYTES = 256
MOST_PIECES = 512
HEADER_BYTES = 6.0
TABLE_BYTES_PER_SYMBOL = 0.55
CODER_LOSS = 1.005
"""A Huffman coder's bytes relative to the entropy; with the two above, roughly what a block costs in zstd."""


@dataclass
class _Piece:
    begin: int
    counts: Counter[int]
    cost: float


def cuts(data: bytes) -> list[int]:
    """Where to end blocks so that their total cost is small, in order; [] if a single block is best.

    Neighbouring pieces are joined, the best pair first, as long as joining saves bytes.
    """
    step = max(LEAST_BYTES, math.ceil(len(data) / MOST_PIECES))
    pieces = [_piece(begin, Counter(data[begin : begin + step])) for begin in range(0, len(data), step)]
    joined = [_joined(a, b) for a, b in itertools.pairwise(pieces)]
    while joined:
        saved = [a.cost + b.cost - c.cost for a, b, c in zip(pieces, pieces[1:], joined, strict=False)]
        best = max(range(len(saved)), key=saved.__getitem__)
        if saved[best] <= 0:
            break
        pieces[best : best + 2] = [joined.pop(best)]
        if best > 0:
            joined[best - 1] = _joined(pieces[best - 1], pieces[best])
        if best < len(joined):
            joined[best] = _joined(pieces[best], pieces[best + 1])
    return [piece.begin for piece in pieces[1:]]


def _piece(begin: int, counts: Counter[int]) -> _Piece:
    total = counts.total()
    bits = total * math.log2(total) - sum(n * math.log2(n) for n in counts.values()) if total else 0.0
    return _Piece(begin, counts, HEADER_BYTES + TABLE_BYTES_PER_SYMBOL * len(counts) + CODER_LOSS * bits / 8)


def _joined(first: _Piece, second: _Piece) -> _Piece:
    return _piece(first.begin, first.counts + second.counts)
