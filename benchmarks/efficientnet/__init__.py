"""EfficientNet-Lite0 on crops of pictures that scikit-image ships: the parts that run in environments of their own."""
