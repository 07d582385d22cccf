"""Bundles as a service: HTTP routes, a page to try them, limits that are kept while reading; nothing is fetched, no path is taken."""
