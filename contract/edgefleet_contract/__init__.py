"""The shapes of the REST API and the model card, shared by operator and controller."""
