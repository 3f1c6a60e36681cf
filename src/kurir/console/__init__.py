"""The console: what an operator sees in a browser. Templates, static files, words, and what the pages show.

No web framework stands here: :mod:`kurir.http.console` has the routes.
"""
