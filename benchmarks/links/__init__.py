"""What `scripts/bench links` is made of: links of known rate, delay and loss, and the devices behind them."""
