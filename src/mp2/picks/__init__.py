"""After the search: picks of a day, their outcome, and walk-forwards over past weeks."""
