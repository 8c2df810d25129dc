"""What the controller knows, behind a contract that every kind of store keeps.

```
callers        fleet/  rollouts/  models/  delivery/  api/  housekeeping.py    know the contract alone
                   |
contract/      Store ─┬─ FleetStore      registry  operations  devices  members  segments  desired  conflicts
                      │                  rollouts (live)  references  audit  follow_ups        + transaction
                      └─ TelemetryStore  windows  rollups  aggregates  evidence                + transaction
                   |
what both use  merging.py (pure)  gathering.py  live.py  fair_lock.py
                   |
kinds          sqlite/   fleet.db and telemetry.db; the only SQL        memory/   dictionaries, for tests and simulation
```

A transaction is one store's. A decision about the fleet that telemetry has to follow is committed with a follow-up.
`tests/controller/store` holds one test class for each Protocol's MUSTs, and every kind of store passes it.
"""

from edgefleet_controller.store.contract import FleetStore, Store, TelemetryStore

__all__ = ["FleetStore", "Store", "TelemetryStore"]
