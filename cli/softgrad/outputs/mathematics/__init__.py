"""Formulas -> text: in LaTeX, in MathML, in a line, or as a block on a screen."""
