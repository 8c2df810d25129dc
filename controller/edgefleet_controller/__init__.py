"""The controller: service, rollouts, delivery, telemetry, store and REST API."""
