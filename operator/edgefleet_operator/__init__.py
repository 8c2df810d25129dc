"""The operator's side: a client of the REST API, the command line, and the demo; it speaks HTTP only."""
