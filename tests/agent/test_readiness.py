"""Ready means that what is committed answers, whatever else is staged, tried or failed."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from edgefleet_agent.answering import Answering
from edgefleet_agent.errors import RequestError
from edgefleet_agent.serving import Serving
from edgefleet_agent.telemetry import Recorder
from edgefleet_protocol import topics
from edgefleet_protocol.messages import DesiredModel, DesiredState, encode

Make = Callable[..., Any]
DEVICE = "/v2/health/ready"


def ready(agent: Any, *models: str) -> list[int]:
    """The status of the device, and of each model."""
    return [agent.call(path)[0] for path in (DEVICE, *(f"/v2/models/{model}/ready" for model in models))]


def wait_ready(agent: Any, *models: str) -> None:
    """Wait for a device that has just started."""
    until, seen = time.monotonic() + 30, list[int]()
    while seen != [200] * (1 + len(models)):
        assert time.monotonic() < until, seen
        time.sleep(0.02)
        with suppress(OSError):  # nobody listens yet
            seen = ready(agent, *models)


def desire(stand_in: Any, *variants: Any, **models: DesiredModel) -> None:
    for variant in variants:
        stand_in.blobs |= variant.blobs
    stand_in.say(topics.desired(stand_in.device), encode(DesiredState(models=models)), retain=True)


@pytest.mark.broker
def test_a_model_that_is_staged_or_fails_changes_nothing_also_after_a_restart(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    good, staged, broken = (
        make_variant(),
        make_variant(seed=1, model="staged"),
        make_variant(seed=2, model="broken", wrong_golden=True),
    )
    agent.start()
    desire(stand_in, good, pets=good.desired(1))
    stand_in.wait_phase("committed", 1)
    assert ready(agent, "pets") == [200, 200]
    desire(
        stand_in,
        staged,
        broken,
        pets=good.desired(1),
        staged=staged.desired(1, activate=False),
        broken=broken.desired(1),
    )
    stand_in.wait_phase("staged", 1, model="staged")
    stand_in.wait_phase("failed_no_change", 1, model="broken")
    for _ in range(2):
        wait_ready(agent, "pets")
        assert ready(agent, "pets", "staged", "broken") == [200, 200, 503, 503]
        agent.end(signal.SIGKILL)
        agent.start()
    wait_ready(agent, "pets")


@pytest.mark.broker
def test_another_variant_that_fails_changes_nothing_also_after_a_restart(
    agent: Any, stand_in: Any, make_variant: Make
) -> None:
    good, broken = make_variant(), make_variant(seed=2, wrong_golden=True)
    agent.start()
    stand_in.desire(good.desired(1), good)
    stand_in.wait_phase("committed", 1)
    stand_in.desire(broken.desired(2), broken)
    stand_in.wait_phase("failed_no_change", 2)
    assert ready(agent, "pets") == [200, 200]
    agent.end(signal.SIGKILL)
    agent.start()
    wait_ready(agent, "pets")


@pytest.mark.broker
def test_a_first_variant_is_ready_once_it_is_committed(agent: Any, stand_in: Any, make_variant: Make) -> None:
    first, second = make_variant(), make_variant(seed=1)
    agent.start()
    assert ready(agent, "pets") == [503, 503]
    stand_in.desire(first.desired(1, trial_s=600), first)
    stand_in.wait_phase("trial", 1)
    assert agent.infer()[0] == 200
    assert ready(agent, "pets") == [503, 503]
    stand_in.desire(first.desired(2), first)
    stand_in.wait_phase("committed", 2)
    stand_in.desire(second.desired(3, trial_s=600), second)
    stand_in.wait_phase("trial", 3)
    assert ready(agent, "pets") == [200, 200]


def test_a_committed_variant_that_does_not_answer_is_named() -> None:
    serving = Serving(Recorder(lambda: 0.0, lambda: 0), lambda: b"{}")
    serving.add("lost", Answering(lambda _: None), lambda: True)
    serving.add("never", Answering(lambda _: None), lambda: False)
    with pytest.raises(RequestError, match="lost has a committed variant that does not answer") as refused:
        serving.check_ready()
    assert refused.value.status == 503 and "never" not in str(refused.value)
