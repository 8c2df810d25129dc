"""What happens where a model comes in: it is read, looked at under limits, run on some samples, and given a card."""
