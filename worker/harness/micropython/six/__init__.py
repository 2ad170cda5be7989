"""The names of six that benchmarks import, for MicroPython, where the package itself cannot be imported."""
PY2 = False
PY3 = True
text_type = str
binary_type = bytes
string_types = (str,)
integer_types = (int,)


def u(text):
    return text


def b(text):
    return text.encode()
