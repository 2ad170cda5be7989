"""Python 3's names for what Python 2 called otherwise."""
from io import StringIO

xrange = range
range, map, zip = range, map, zip
