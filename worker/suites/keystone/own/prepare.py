"""Makes the configuration, the database, the keys and the users of a Keystone in the current folder.

Every number that differs from Keystone's defaults is here for a reason that stands beside it.
"""
import os
import sqlite3
import sys
import uuid

# Taken away from Keystone, which reads the command line too.
MEMCACHED = int(sys.argv.pop(1))
USERS = 20
URL = "http://127.0.0.1:18320/v3"

CONFIGURATION = """
[DEFAULT]
log_file = {folder}/keystone.log

[database]
connection = sqlite:///{folder}/keystone.sqlite

[fernet_tokens]
key_repository = {folder}/fernet

[fernet_receipts]
# The default is the same folder as the tokens' too.
key_repository = {folder}/fernet

[credential]
key_repository = {folder}/credential

[token]
# The slowest repetition must not outlive the tokens that it validates (one hour by default).
expiration = 14400

[identity]
# With the default of 12 rounds, checking a password once keeps bcrypt's own compiled code busy for 288 ms (bcrypt 4.2.0 alone, on a
# virtual core of an EPYC), on every interpreter; with 4, the least that Keystone accepts, for 1.1 ms.
password_hash_rounds = 4

[cache]
# Keystone's default backend forgets everything: each validation asked the database 59 times. Operators are told to run memcached.
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = 127.0.0.1:{memcached}
backend_argument = url:127.0.0.1:{memcached}
"""


def make_users(project):
    """Users with a role on one project: `user-0` …, each with its name as its password."""
    from keystone.common import provider_api

    providers = provider_api.ProviderAPIs
    role, = [role for role in providers.role_api.list_roles() if role["name"] == "member"]
    reference = {"id": project, "name": "speedwell", "domain_id": "default", "description": "", "enabled": True}
    providers.resource_api.create_project(project, reference)
    for number in range(USERS):
        name = "user-%d" % number
        user = {"name": name, "domain_id": "default", "enabled": True, "password": name, "default_project_id": project}
        user = providers.identity_api.create_user(user)
        providers.assignment_api.add_role_to_user_and_project(user["id"], project, role["id"])


def main():
    """All of it; the order is that of Keystone's installation guide."""
    folder = os.getcwd()
    with open("keystone.conf", "w") as out:
        out.write(CONFIGURATION.format(folder=folder, memcached=MEMCACHED))
    import keystone.conf
    from keystone import server
    from keystone.cmd import bootstrap
    from keystone.common import fernet_utils
    from keystone.common.sql import upgrades

    server.configure(config_files=[os.path.join(folder, "keystone.conf")])
    # Keystone writes what it dies of into its log only.
    sys.excepthook = sys.__excepthook__
    # Nothing is read back here, and memcached does not run yet.
    keystone.conf.CONF.set_override("enabled", False, group="cache")
    upgrades.offline_sync_database_to_version(None)
    # In SQLite's own mode a commit waits for every reader, and after five seconds a request was answered 500 ("database is
    # locked"). With a log ahead of the file, readers stop nobody. The mode is kept in the file.
    database = sqlite3.connect("keystone.sqlite")
    mode, = database.execute("PRAGMA journal_mode=WAL").fetchone()
    database.close()
    if mode != "wal":
        raise SystemExit("SQLite does not write ahead here, but in mode %r" % mode)
    keys = keystone.conf.CONF.fernet_tokens
    repository = fernet_utils.FernetUtils(keys.key_repository, keys.max_active_keys, "fernet_tokens")
    repository.create_key_directory()
    repository.initialize_key_repository()
    first = bootstrap.Bootstrapper()
    first.admin_username, first.admin_password, first.admin_role_name = "admin", "secret", "admin"
    first.project_name, first.service_name, first.region_id = "admin", "keystone", "RegionOne"
    first.public_url = first.internal_url = first.admin_url = URL
    first.immutable_roles = True
    first.bootstrap()
    make_users(uuid.uuid5(uuid.NAMESPACE_DNS, "speedwell").hex)


if __name__ == "__main__":
    main()
