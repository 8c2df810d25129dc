"""What a device is: hardware, link and region; what a variant must meet there; and segments over devices."""
