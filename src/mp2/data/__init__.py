"""Files and frames in, checked arrays out: tables of signals and tables of prices."""
