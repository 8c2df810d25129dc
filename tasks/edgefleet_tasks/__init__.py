"""What a model answers, and how that is reduced, scored and compared: one file for each kind of task."""
