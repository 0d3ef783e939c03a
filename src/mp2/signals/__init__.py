"""From prices to signals: indicators, algorithms, their grids, and one sheet of every variation's buys."""
