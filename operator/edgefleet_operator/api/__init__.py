"""The client's methods, one file per noun of the API."""
