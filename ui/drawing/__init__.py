"""How things are drawn, as HTML and SVG. Knows values, and no component's handler."""
