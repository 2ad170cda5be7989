"""What has to be changed for Swift to run here, each with its reason. Nothing of it touches the path of a request
except where a runtime would answer wrongly without it."""
import platform


def apply(folder):
    """Call it before anything of Swift is imported."""
    import pkg_resources

    # Swift's metadata asks for packages that these servers never import (lxml, cryptography, netifaces); PasteDeploy
    # would refuse to load it without them.
    pkg_resources.Distribution.requires = lambda self, extras=(): []
    from swift.common import utils

    # Otherwise it would have to be /etc/swift/swift.conf.
    utils.set_swift_dir(folder)
    _fix_locals()
    if platform.python_implementation() == "PyPy":
        _fix_pypy()


def _fix_pypy():
    import eventlet.patcher

    # It looks for locks made before patching through gc.get_referrers, which walks PyPy's whole heap for each of them:
    # a server did not start within two minutes. No thread exists yet, so there is nothing to repair.
    eventlet.patcher._green_existing_locks = lambda: None
    if str is not bytes:
        # `text_factory = str` means "decode" to CPython; PyPy calls it as a function on bytes, and b'0' becomes "b'0'".
        # Without being told it gives text too.
        from swift.common import db

        connection = db.GreenDBConnection

        def set_attribute(self, name, value):
            if (name, value) != ("text_factory", str):
                super(connection, self).__setattr__(name, value)

        connection.__setattr__ = set_attribute


def _fix_locals():
    """Eventlet's thread locals give an object another `__dict__` before each access, taken from a dictionary of weak keys. Now and
    then an attribute was gone that the same greenlet had just set, and a request answered 503: within minutes on PyPy 2 and 3,
    once on CPython 2.7. Here the values lie with the greenlet itself, on every runtime alike."""
    import eventlet.corolocal
    import greenlet

    def values(thread_local):
        current = greenlet.getcurrent()
        try:
            known = current.speedwell_locals
        except AttributeError:
            known = current.speedwell_locals = {}
        # The object is kept with its values: its number must not become another's.
        return known.setdefault(id(thread_local), (thread_local, {}))[1]

    def get(self, name):
        found = values(self)
        if name in found:
            return found[name]
        return object.__getattribute__(self, name)

    def put(self, name, value):
        values(self)[name] = value

    def remove(self, name):
        try:
            del values(self)[name]
        except KeyError:
            raise AttributeError(name)

    local = eventlet.corolocal.local
    local.__getattribute__, local.__setattr__, local.__delattr__ = get, put, remove
