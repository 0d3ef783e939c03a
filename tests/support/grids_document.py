"""The default grids as a grids file, as the documentation shows them."""

from mp2.signals.algorithms import ALGORITHMS


def grids_toml():
    """Write the default grids as a grids file; loading it changes nothing."""
    lines = []
    for algorithm in ALGORITHMS:
        lines += [f"# {algorithm.summary}", f"[{algorithm.name}]"]
        for parameter in algorithm.parameters:
            values = ", ".join(f"{value:g}" for value in parameter.values)
            lines.append(f"# {parameter.meaning}; {parameter.low:g}..{parameter.high:g}")
            lines.append(f"{parameter.name} = [{values}]")
        lines.append("")
    return "\n".join(lines)
