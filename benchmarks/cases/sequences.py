"""A thousand sequences of a model with state over two switches of a real agent, under load: each answer checked.

A real controller compresses three versions of a small GRU and rolls them out to one real agent, while every sequence is
asked step by step. They answer quite differently, so that a state of the wrong one shows. The second version takes the
state of the first, and the third has another one. Afterwards each sequence is stepped alone in onnxruntime, with the
files from the agent's own disk.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import onnxruntime

from benchmarks.processes import Agent, Controller, wait
from benchmarks.result import Result, at_least, at_most
from benchmarks.sequence_load import NextStep, SequenceLoad, checked, stepping, went_on
from benchmarks.stateful_model import GIVEN, GIVES, HIDDEN, WIDTH, model_folder, state_shape

PROFILE = "eu/x86-avx2/ethernet"
MODEL = "gestures"
RECIPE = "fp32"
HIDDEN_OF = {1: HIDDEN, 2: HIDDEN, 3: HIDDEN // 2}
"""By version."""
LEAST_ON = 0.9
WRONG = 1e-5
"""An answer further from that of stepping alone has had another state."""
STEPS_BETWEEN = 3


class SwitchedTo(NamedTuple):
    """A variant, and how it is stepped alone."""

    variant: str
    step: NextStep


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--sequences", type=int, default=1000, help="under way at once")
    parser.add_argument("--connections", type=int, default=16, help="that ask at once")


def run(options: argparse.Namespace) -> Result:
    """Build, roll out under load, and check."""
    with tempfile.TemporaryDirectory(prefix="edgefleet-sequences-") as name:
        folder = Path(name)
        controller = Controller(folder)
        controller.start()
        agent = Agent(folder, "bench-1", PROFILE, controller.broker_url)
        try:
            for version, hidden in HIDDEN_OF.items():
                made = model_folder(folder / f"v{version}", MODEL, version, carries=version == 2, hidden=hidden)
                controller.build(made, PROFILE, RECIPE)
            agent.start()
            wait(lambda: list(controller.api.devices.all()), "the agent to report")
            return _measured(controller, agent, options)
        finally:
            agent.stop()
            controller.stop()


def _measured(controller: Controller, agent: Agent, options: argparse.Namespace) -> Result:
    first = _switched(controller, agent, 1)
    inputs = np.random.default_rng(7).normal(size=(256, WIDTH)).astype(np.float32)
    address = agent.endpoint.removeprefix("http://")
    load = SequenceLoad(address, MODEL, "x", options.sequences, inputs, options.connections)
    began_s = time.perf_counter()
    load.start()
    _go_on(load, STEPS_BETWEEN)
    second = _switched(controller, agent, 2)
    _go_on(load, load.least() + STEPS_BETWEEN)
    on = went_on(load.sequences, first.variant, second.variant)
    third = _switched(controller, agent, 3)
    wait(lambda: all(one.before for one in load.sequences) and load.least() >= STEPS_BETWEEN, "the rest", 600)
    load.stop()
    seconds = time.perf_counter() - began_s
    found = checked(load.sequences, dict((first, second, third)))
    told = sum(len(one.before) == 1 for one in load.sequences)
    result = Result()
    result.rows.append(
        {
            "sequences": options.sequences,
            "answers": found.answers,
            "answers a second": found.answers / seconds,
            "sent again (503)": load.retries,
            "worst difference": found.worst,
            "of a state one step old, at least": found.unseen,
            "went on": on,
            "told that they ended": told,
        }
    )
    result.bars += [
        at_most("sequences: largest difference from stepping alone", WRONG, found.worst),
        at_least("sequences: what a state one step old would differ by", WRONG, found.unseen),
        at_least("sequences: share that goes on with the next version", LEAST_ON, on / options.sequences),
        at_least("sequences: share told that another state ends them", 1.0, told / options.sequences),
    ]
    return result


def _go_on(load: SequenceLoad, steps: int) -> None:
    wait(lambda: load.least() >= steps, f"{steps} steps of each sequence", 600)


def _switched(controller: Controller, agent: Agent, version: int) -> SwitchedTo:
    """Roll a version out; gives what answers then, with its file from the agent's disk."""
    controller.roll_out(version, agent.id, model=MODEL, accept_drop=True)
    variant = str(httpx.get(f"{agent.endpoint}/v2/models/{MODEL}").json()["parameters"]["variant"])
    onnx, options = (agent.state / "slots" / variant / "model.onnx").read_bytes(), onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    return SwitchedTo(variant, stepping(session, "x", GIVEN, GIVES, state_shape(HIDDEN_OF[version])))
