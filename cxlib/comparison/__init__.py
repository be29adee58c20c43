"""How the effect of a programme is known: whom to compare with whom, what came of it, and what speaks against it."""
