"""Keystone's WSGI application in waitress, one process of four threads (its default): serve.py FOLDER PORT"""
import os
import sys

import waitress

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
# Keystone reads the command line too.
del sys.argv[1:]
os.environ["OS_KEYSTONE_CONFIG_FILES"] = os.path.join(FOLDER, "keystone.conf")

if __name__ == "__main__":
    # It reads its configuration while it is imported.
    from keystone.wsgi.api import application

    waitress.serve(application, host="127.0.0.1", port=PORT)
