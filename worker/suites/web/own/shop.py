"""The data of both servers: a shop with products, reviews and discussions, the same rows on every runtime.

Nothing here comes from a random generator: two versions of Python do not agree on theirs.
"""
import os
import sqlite3

CATEGORIES = 20
PER_CATEGORY = 50
REVIEWS = 3
PRODUCTS = CATEGORIES * PER_CATEGORY

SCHEMA = """
CREATE TABLE product (
    id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, category INTEGER NOT NULL, name TEXT NOT NULL,
    description TEXT NOT NULL, price INTEGER NOT NULL, stock INTEGER NOT NULL, version INTEGER NOT NULL
);
CREATE INDEX product_category ON product (category, price, id);
CREATE TABLE tag (
    product INTEGER NOT NULL REFERENCES product, name TEXT NOT NULL, PRIMARY KEY (product, name)
) WITHOUT ROWID;
CREATE TABLE review (
    id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES product, author TEXT NOT NULL, stars INTEGER NOT NULL,
    words TEXT NOT NULL
);
CREATE INDEX review_product ON review (product);
"""

WORDS = u"""
amber anvil <b>bold</b> basket bridge candle cedar "quoted" copper dawn delta ember falcon fern gla\u00e7on granite
harbour indigo ivory jasper juniper kettle lantern lichen marble meadow & nectar oak orchid pebble quartz quill raven
ribbon saffron sl\u00e5tt thistle umber velvet willow yarrow zephyr
""".split()


def words(seed, count):
    """`count` words that `seed` chooses."""
    chosen = []
    for _ in range(count):
        # A linear congruence (Numerical Recipes): enough to mix, the same everywhere.
        seed = (seed * 1664525 + 1013904223) % 4294967296
        chosen.append(WORDS[(seed >> 16) % len(WORDS)])
    return u" ".join(chosen)


def products():
    """All products as (id, sku, category, name, description, price, stock, version)."""
    for number in range(PRODUCTS):
        price = 100 + number * 7919 % 90000
        yield (
            number, u"SKU-%d" % number, number % CATEGORIES, words(number, 3).title(), words(number + PRODUCTS, 24), price,
            number % 17, 1,
        )


def reviews():
    """All reviews as (product, author, stars, words)."""
    for number in range(PRODUCTS * REVIEWS):
        yield number // REVIEWS, words(number, 1), 1 + number % 5, words(number * 31, 12)


def create(path):
    """Makes the database."""
    connection = sqlite3.connect(path)
    # Readers go on while one writes. PyPy ends a statement whose row nobody takes only when it collects it, and until then
    # SQLite refuses to commit.
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.executescript(SCHEMA)
    connection.executemany("INSERT INTO product VALUES (?, ?, ?, ?, ?, ?, ?, ?)", products())
    tags = [(number, WORDS[(number * 3 + part) % len(WORDS)]) for number in range(PRODUCTS) for part in range(3)]
    connection.executemany("INSERT INTO tag VALUES (?, ?)", tags)
    connection.executemany("INSERT INTO review (product, author, stars, words) VALUES (?, ?, ?, ?)", reviews())
    connection.commit()
    connection.close()


def main():
    create(os.path.join(os.getcwd(), "shop.sqlite"))


if __name__ == "__main__":
    main()
