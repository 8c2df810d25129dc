"""What stored weights are: the settings of bits are named after these kinds."""

from typing import Literal

LayerKind = Literal["stem", "dense", "depthwise", "pointwise", "linear"]
WeightKind = LayerKind | Literal["recurrent", "table"]
"""A layer's weight, the gates of an LSTM, GRU or RNN, or a table whose rows are looked up."""
