"""The shapes of the REST API and the model card: what operator and controller say to each other."""
