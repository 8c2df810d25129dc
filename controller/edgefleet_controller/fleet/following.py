"""Follow-ups in the telemetry store to changes of the fleet store, which no transaction spans."""

from edgefleet_controller.store import Store


def follow_up(store: Store) -> None:
    """Carry out pending follow-ups; safe to repeat after a kill or a failure at any point.

    They are read inside the telemetry transaction: if two threads do this at once, the second finds nothing left, or
    repeats only what the first has done, before anything new is stored.
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
