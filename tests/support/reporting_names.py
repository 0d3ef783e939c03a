"""Names that are hostile to pages: as markup, as code, or by how they look."""

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<b onmouseover=alert(2)>bold</b>",
    "\"quotes' & more",
    "a\u2028b\u2029c",
    "\u202egnirts\u202c",
    "x" * 200,
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }}{% raw %}",
)
