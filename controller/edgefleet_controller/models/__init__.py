"""Models: registered, compressed into variants, published, chosen for profiles, removed."""
