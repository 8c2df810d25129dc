"""Make a damaged version of an ONNX file, as the demo rolls it out: every answer looks sound, but classes are swapped.

    python examples/damage.py examples/garments/model.onnx damaged.onnx --output scores --swap 0:6 --swap 2:4

The output's last axis is that of the classes. Nothing else of the model changes.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

SOUND = "_before_the_damage"


def damage(model: onnx.ModelProto, output: str, swaps: list[tuple[int, int]]) -> None:
    """Swap pairs of classes in an output."""
    (told,) = (one for one in model.graph.output if one.name == output)
    order = np.arange(told.type.tensor_type.shape.dim[-1].dim_value)
    for one, other in swaps:
        order[[one, other]] = order[[other, one]]
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = output + SOUND
    model.graph.initializer.append(numpy_helper.from_array(order, output + "_order"))
    model.graph.node.append(helper.make_node("Gather", [output + SOUND, output + "_order"], [output], axis=-1))
    onnx.checker.check_model(model)


def pair(text: str) -> tuple[int, int]:
    """Two classes, written 0:6."""
    one, other = text.split(":")
    return int(one), int(other)


def main() -> None:
    """Write the damaged file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--output", required=True, help="the one with a number for each class")
    parser.add_argument("--swap", type=pair, action="append", required=True, metavar="ONE:OTHER")
    args = parser.parse_args()
    model = onnx.load(args.source)
    damage(model, args.output, args.swap)
    onnx.save(model, args.out)


if __name__ == "__main__":
    main()
