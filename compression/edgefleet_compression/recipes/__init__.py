"""What may be asked for: recipes, in files and shipped, and which apply to an instruction set."""
