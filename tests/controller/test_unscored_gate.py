"""A gate that requires what a model's task can never give is refused before any device is looked at."""

import pytest
from tests.cards import card

from edgefleet_contract.rollouts import Gate, RolloutSpec
from edgefleet_controller.errors import Refused
from edgefleet_controller.records import ModelRecord
from edgefleet_controller.rollouts.launch import plan_rollout
from edgefleet_controller.store import Store
from edgefleet_profiles.catalogue import load_catalogue


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("embedding", "require=accuracy can never be met: single answers of m@1 have no score"),
        ("outputs", "require=accuracy can never be met: single answers of m@1 have no score"),
        ("detection", "no device matches"),
        ("classification", "no device matches"),
    ],
)
def test_labels_are_required_only_where_answers_have_a_score(store: Store, task: str, said: str) -> None:
    store.fleet.registry.put_model(ModelRecord(name="m", version=1, files={}, card=card(task=task), created_ms=1))
    spec = RolloutSpec(model="m", version=1, everyone=True, gate=Gate(require=("accuracy",)))
    with pytest.raises(Refused, match=said):
        plan_rollout(store.fleet, load_catalogue(), spec)
