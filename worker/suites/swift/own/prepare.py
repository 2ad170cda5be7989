"""Writes the configuration and the rings of an all-in-one Swift into the current folder.

One replica on one "disk", which is a folder: the cost of the servers is what is measured, not that of a cluster.
Every number that differs from Swift's defaults is here for a reason that stands beside it.
"""
from __future__ import print_function

import os
import sys

import runtime_fixes

USER = sys.argv[1]
PORTS = {"object": 6200, "container": 6201, "account": 6202}
PROXY = 8080
MEMCACHED = 11299

# A cold just-in-time compiler misses the default of half a second for a connection. Nor may a server that was slow for a
# moment be left out for the next minute: without memcached every token is unknown, and every answer 401.
#
# PyPy closes a connection that was dropped without close() only when it is collected: the default of 1024 clients was used
# up by connections that nobody used any more, and 160 requests per second became 20 until the next collection. Idle
# connections end after five seconds; CPython has none, and no use for more than a handful of clients.
PATIENCE = """
conn_timeout = 20
node_timeout = 60
max_clients = 16000
keepalive_timeout = 5
"""

BACKEND = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
workers = 0
log_level = ERROR
eventlet_debug = false
{patience}
[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
"""

PROXY_CONFIGURATION = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
log_level = ERROR
max_clients = 16000

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache tempauth copy slo dlo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_limit = 100000
conn_timeout = 20
node_timeout = 60
recoverable_node_timeout = 60

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
connect_timeout = 10
io_timeout = 10
pool_timeout = 20
error_suppression_limit = 100000
[filter:tempauth]
use = egg:swift#tempauth
user_speedwell_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""

SWIFT = """
[swift-hash]
swift_hash_path_suffix = speedwell
swift_hash_path_prefix = speedwell
"""


def write(name, text):
    with open(name, "w") as out:
        out.write(text)


def check_attributes(folder):
    """Swift keeps an object's metadata in extended attributes of its file."""
    import xattr

    path = os.path.join(folder, "probe")
    write(path, "")
    try:
        xattr.setxattr(path, "user.speedwell", b"1")
    except (IOError, OSError) as error:
        sys.exit("the worker's data folder lies on a file system without user attributes: %s" % error)
    os.remove(path)


def main():
    folder = os.getcwd()
    os.makedirs(os.path.join(folder, "devices", "d1"))
    check_attributes(folder)
    write("swift.conf", SWIFT)
    for kind, port in PORTS.items():
        values = dict(kind=kind, port=port, user=USER, folder=folder, patience=PATIENCE)
        write(kind + ".conf", BACKEND.format(**values))
    write("proxy.conf", PROXY_CONFIGURATION.format(port=PROXY, user=USER, folder=folder, memcached=MEMCACHED))
    runtime_fixes.apply(folder)
    from swift.common.ring import RingBuilder

    for kind, port in PORTS.items():
        builder = RingBuilder(8, 1, 0)
        builder.add_dev(dict(region=1, zone=1, ip="127.0.0.1", port=port, device="d1", weight=1.0))
        builder.rebalance(seed="speedwell")
        builder.get_ring().save(kind + ".ring.gz")


if __name__ == "__main__":
    main()
