"""Telemetry follows what was decided about the fleet; the two are never written in one transaction."""

from edgefleet_controller.store import Store


def follow_up(store: Store) -> None:
    """Do what telemetry has still to do; done again, after a kill or a failure at any point, it changes nothing.

    Within telemetry's transaction: of two threads that do this at once the second one finds nothing left, or what the
    first one did, and nothing that came since.
    """
    if not store.fleet.follow_ups.all():
        return
    with store.telemetry.transaction():
        owed = store.fleet.follow_ups.all()
        for one in owed:
            match one.what:
                case "remove":
                    store.telemetry.windows.remove(one.device)
                case "unplace":
                    store.telemetry.windows.unplace(one.device, one.since_ms)
    store.fleet.follow_ups.done(owed)
