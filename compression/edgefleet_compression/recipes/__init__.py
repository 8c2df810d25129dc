"""What may be asked for: recipes, their steps' settings and signatures, and the scheme of each instruction set."""
