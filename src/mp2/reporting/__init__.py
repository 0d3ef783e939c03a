"""Pictures of results (`mp2.plot`) and pages that hold them (`mp2.report`).

`plot` has the pictures, `page` chooses those of a result and words what they show, `writing` makes
the HTML. Others use `plot`, `page` and `writing`.
"""

from mp2.reporting import plot as plot
