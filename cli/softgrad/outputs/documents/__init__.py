"""Pages -> documents that other programs show: Markdown, LaTeX, HTML."""
