"""The tasks, one file each; a file's `TASK` is the task of that name."""
