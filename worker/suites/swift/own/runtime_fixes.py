"""What has to be changed for Swift 2.33.0 to run here, each with its reason. Nothing of it touches the path of a request
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
