"""The contract of the fleet's store: every kind passes all of it."""

from tests.controller.store.contract.alerts import AlertsContract
from tests.controller.store.contract.annotations import AnnotationsContract
from tests.controller.store.contract.base import StoreContract
from tests.controller.store.contract.devices import DevicesContract
from tests.controller.store.contract.members import MembersContract
from tests.controller.store.contract.registry import RegistryContract
from tests.controller.store.contract.rollouts import RolloutsContract
from tests.controller.store.contract.transactions import TransactionsContract


class FleetStoreContract(
    RegistryContract,
    DevicesContract,
    MembersContract,
    AnnotationsContract,
    RolloutsContract,
    AlertsContract,
    TransactionsContract,
    StoreContract,
):
    """The MUSTs of `FleetStore` and its nouns."""
