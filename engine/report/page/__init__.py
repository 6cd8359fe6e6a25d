"""A study's answer as a page: one HTML file that needs no network, its figures drawn here as SVG."""
