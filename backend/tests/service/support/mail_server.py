"""A mail server: aiosmtpd on a free port of loopback, with TLS and passwords when it is told so.

mail_server.py FOLDER plain|tls|tls-and-password

Writes its port to FOLDER/port and a line of JSON for each thing that somebody has tried to FOLDER/log. FOLDER/cert.pem and FOLDER/key.pem are its
certificate, FOLDER/password what the user "speedwell" has to know.
"""
import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

folder, kind = sys.argv[1:]


def note(**what):
    with open(os.path.join(folder, "log"), "a") as log:
        log.write(json.dumps(what) + "\n")


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        note(what="mail", encrypted=session.ssl is not None, user=str(session.auth_data or ""))
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        note(what="data", to=envelope.rcpt_tos, text=envelope.content.decode("utf-8", "replace"))
        return "250 taken"


def check(server, session, envelope, mechanism, data):
    with open(os.path.join(folder, "password")) as file:
        password = file.read().strip()
    known = (data.login.decode(), data.password.decode()) == ("speedwell", password)
    note(what="password", encrypted=session.ssl is not None, known=known)
    return AuthResult(success=known, handled=False, auth_data=data.login.decode())


async def main():
    options = {}
    if kind != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
        options = {"tls_context": context, "require_starttls": True}
    if kind == "tls-and-password":
        options.update(authenticator=check, auth_required=True)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), **options), "127.0.0.1", 0)
    port = os.path.join(folder, "port")
    with open(port + ".new", "w") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(port + ".new", port)
    await server.serve_forever()


asyncio.run(main())
