"""A compared study as one HTML file that asks for nothing: tables, figures and a browser of pairs."""
