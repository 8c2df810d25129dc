"""The controller: service, rollouts, delivery, telemetry, store and the operator's command line."""
