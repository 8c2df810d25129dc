"""Networks in torch: built, taken apart, and looked at as a graph."""
