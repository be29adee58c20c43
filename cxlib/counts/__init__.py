"""Small count tables from the six tables, made in the engine; all arithmetic with dates is here."""
