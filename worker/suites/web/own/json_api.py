"""A JSON API over a database, as many small services are: json_api.py FOLDER PORT

Bottle routes, waitress serves with four threads (its default), SQLite keeps the data.
"""
import json
import os
import sqlite3
import sys
import threading

import bottle
import waitress

FOLDER, PORT = sys.argv[1], int(sys.argv[2])
PAGE = 20
TEXT = type(u"")
FIELDS = ("id", "sku", "category", "name", "description", "price", "stock", "version")
SELECT = "SELECT id, sku, category, name, description, price, stock, version FROM product "

application = bottle.Bottle()
local = threading.local()
# SQLite lets others wait by sleeping; one writer at a time in the program itself wastes no time and fails nobody.
writing = threading.Lock()


def database():
    """This thread's connection."""
    try:
        return local.connection
    except AttributeError:
        connection = sqlite3.connect(os.path.join(FOLDER, "shop.sqlite"), timeout=30.0, isolation_level=None)
        # Interpreters are measured, not the disk.
        connection.execute("PRAGMA synchronous = OFF")
        local.connection = connection
        return connection


def answer(value, status=200, location=None):
    """A JSON answer."""
    bottle.response.status = status
    bottle.response.content_type = "application/json"
    if location is not None:
        bottle.response.set_header("Location", location)
    return json.dumps(value)


def as_product(row):
    """A row of `SELECT` as the API shows it."""
    return dict(zip(FIELDS, row))


@application.get("/health")
def health():
    """Says that the server and its database are there."""
    database().execute("SELECT count(*) FROM product").fetchone()
    return answer({"healthy": True})


@application.get("/categories/<category:int>/products")
def list_products(category):
    """One page of a category, cheapest first."""
    try:
        page = max(1, int(bottle.request.query.get("page", "1")))
    except ValueError:
        return answer({"errors": {"page": "is no number"}}, 422)
    connection = database()
    total, = connection.execute("SELECT count(*) FROM product WHERE category = ?", (category,)).fetchone()
    rows = connection.execute(
        SELECT + "WHERE category = ? ORDER BY price, id LIMIT ? OFFSET ?", (category, PAGE, (page - 1) * PAGE)
    ).fetchall()
    items = [as_product(row) for row in rows]
    for item in items:
        item["url"] = "/products/" + item["sku"]
    pages = (total + PAGE - 1) // PAGE
    following = "/categories/%d/products?page=%d" % (category, page + 1) if page < pages else None
    return answer({"category": category, "page": page, "pages": pages, "total": total, "next": following, "items": items})


def find(sku):
    """A product with its tags and reviews, or nothing."""
    connection = database()
    row = connection.execute(SELECT + "WHERE sku = ?", (sku,)).fetchone()
    if row is None:
        return None
    product = as_product(row)
    number = product["id"]
    tags = connection.execute("SELECT name FROM tag WHERE product = ? ORDER BY name", (number,))
    product["tags"] = [name for name, in tags]
    found = connection.execute("SELECT author, stars, words FROM review WHERE product = ? ORDER BY id", (number,))
    product["reviews"] = [{"author": author, "stars": stars, "words": words} for author, stars, words in found]
    product["stars"] = round(sum(one["stars"] for one in product["reviews"]) / float(len(product["reviews"]) or 1), 1)
    return product


@application.get("/products/<sku>")
def get_product(sku):
    """One product."""
    product = find(sku)
    return answer({"errors": {"sku": "there is no such product"}}, 404) if product is None else answer(product)


def validate(fields):
    """What is wrong with a product that was sent, by field."""
    if not isinstance(fields, dict):
        return {"body": "is no object"}
    errors = {}
    for name, longest in (("sku", 40), ("name", 80), ("description", 2000)):
        value = fields.get(name)
        if not isinstance(value, TEXT) or not value.strip():
            errors[name] = "is missing"
        elif len(value) > longest:
            errors[name] = "is longer than %d characters" % longest
    for name, most in (("category", 1000), ("price", 10000000), ("stock", 100000)):
        value = fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            errors[name] = "is no whole number from 0 to %d" % most
    tags = fields.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, TEXT) and tag for tag in tags) or len(set(tags)) != len(tags):
        errors["tags"] = "is no list of different words"
    return errors


def sent():
    """What was sent, and what is wrong with it."""
    try:
        fields = json.loads(bottle.request.body.read().decode("utf-8"))
    except ValueError:
        return None, {"body": "is no JSON"}
    return fields, validate(fields)


def write(statements, sku):
    """Makes some changes or none, and gives the product as these changes left it; nothing when a unique value is taken."""
    connection = database()
    with writing:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in statements:
                connection.execute(statement, values)
            product = find(sku)
        except sqlite3.IntegrityError:
            connection.execute("ROLLBACK")
            return None
        except Exception:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return product


def values_of(fields):
    """The columns that a client may set."""
    return tuple(fields[name] for name in ("sku", "category", "name", "description", "price", "stock"))


@application.post("/products")
def create_product():
    """A new product."""
    fields, errors = sent()
    if errors:
        return answer({"errors": errors}, 422)
    insert = (
        "INSERT INTO product (sku, category, name, description, price, stock, version) VALUES (?, ?, ?, ?, ?, ?, 1)",
        values_of(fields),
    )
    tag = "INSERT INTO tag SELECT id, ? FROM product WHERE sku = ?"
    tags = [(tag, (name, fields["sku"])) for name in fields.get("tags", [])]
    product = write([insert] + tags, fields["sku"])
    if product is None:
        return answer({"errors": {"sku": "is taken"}}, 409)
    return answer(product, 201, "/products/" + fields["sku"])


@application.put("/products/<sku>")
def update_product(sku):
    """Other values for a product."""
    fields, errors = sent()
    if errors:
        return answer({"errors": errors}, 422)
    update = (
        "UPDATE product SET sku = ?, category = ?, name = ?, description = ?, price = ?, stock = ?, version = version + 1 "
        "WHERE sku = ?",
        values_of(fields) + (sku,),
    )
    if find(sku) is None:
        return answer({"errors": {"sku": "there is no such product"}}, 404)
    product = write([update], fields["sku"])
    if product is None:
        return answer({"errors": {"sku": "is taken"}}, 409)
    return answer(product)


if __name__ == "__main__":
    waitress.serve(application, host="127.0.0.1", port=PORT)
