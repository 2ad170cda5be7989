"""A shop made with Django: an API for uvicorn (asgi.py), pages for gunicorn (wsgi.py)."""
