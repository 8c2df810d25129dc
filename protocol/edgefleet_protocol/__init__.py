"""The wire between controller and agent: topics, messages, manifests, chunks and the latency histogram."""
