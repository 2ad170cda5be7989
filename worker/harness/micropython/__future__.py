"""What scripts for Python 2 ask of Python 3 is so here anyway."""
absolute_import = division = print_function = unicode_literals = True
