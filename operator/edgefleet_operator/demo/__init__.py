"""`edgefleet demo`: the whole loop on one machine, every part real, only the boards and links simulated."""
