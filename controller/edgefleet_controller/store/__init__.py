"""What the controller knows, behind a contract that every kind of store fulfils.

```
callers        fleet/  rollouts/  models/  delivery/  api/  housekeeping.py    use only the contract
                   |
contract/      Store ─┬─ FleetStore      registry  operations  devices  members  segments  desired  conflicts
                      │                  rollouts (live)  references  audit  follow_ups        + transaction
                      └─ TelemetryStore  windows  rollups  aggregates  evidence                + transaction
                   |
shared         merging.py (pure)  gathering.py  live.py  fair_lock.py
                   |
kinds          sqlite/   fleet.db and telemetry.db; the only SQL        memory/   dictionaries, for tests and simulation
```

A transaction covers one store. A decision about the fleet that telemetry must follow is committed with a follow-up.
`tests/controller/store` has one test class for the MUSTs of each Protocol, and every kind of store passes it.
"""

from edgefleet_controller.store.contract import FleetStore, Store, TelemetryStore

__all__ = ["FleetStore", "Store", "TelemetryStore"]
