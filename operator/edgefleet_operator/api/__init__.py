"""What a client can ask for, one file a noun of the API."""
