"""What a card puts around a network: pictures before it, chosen answers after it."""
