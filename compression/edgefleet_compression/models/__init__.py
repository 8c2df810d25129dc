"""What a build starts from: the card, the data, files that are brought, and the states they take on the way."""
