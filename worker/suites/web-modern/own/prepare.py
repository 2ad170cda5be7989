"""Makes the database of the shop in the current folder: the same rows on every runtime, from no random generator."""
import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "shopsite.settings"
django.setup()

from django.core.management import call_command  # noqa: E402  (after the settings)
from django.db import connection, transaction  # noqa: E402

from shopsite.models import Category, Product, Review, Tag  # noqa: E402

CATEGORIES = 20
PRODUCTS = 1000
WORDS = """
amber anvil <b>bold</b> basket bridge candle cedar "quoted" copper dawn delta ember falcon fern glaçon granite harbour
indigo ivory jasper juniper kettle lantern lichen marble meadow & nectar oak orchid pebble quartz quill raven ribbon
saffron slått thistle umber velvet willow yarrow zephyr
""".split()


def words(seed, count):
    """`count` words that `seed` chooses."""
    chosen = []
    for _ in range(count):
        # A linear congruence (Numerical Recipes): enough to mix, the same everywhere.
        seed = (seed * 1664525 + 1013904223) % 4294967296
        chosen.append(WORDS[(seed >> 16) % len(WORDS)])
    return " ".join(chosen)


def fill():
    """All rows. Two categories more than products have: what is made and written while measuring goes there."""
    Category.objects.bulk_create(Category(id=number, name=f"Category {number}") for number in range(CATEGORIES + 2))
    Tag.objects.bulk_create(Tag(id=number, name=word) for number, word in enumerate(WORDS))
    Product.objects.bulk_create(
        Product(
            id=number, sku=f"SKU-{number}", category_id=number % CATEGORIES, name=words(number, 3).title(),
            description=words(number + PRODUCTS, 24), price=100 + number * 7919 % 90000, stock=number % 17,
        )
        for number in range(PRODUCTS)
    )
    Tagged = Product.tags.through
    Tagged.objects.bulk_create(
        Tagged(product_id=number, tag_id=(number * 3 + part) % len(WORDS))
        for number in range(PRODUCTS) for part in range(3)
    )
    Review.objects.bulk_create(
        Review(product_id=number // 3, author=words(number, 1), stars=1 + number % 5, words=words(number * 31, 12))
        for number in range(PRODUCTS * 3)
    )


def main():
    """The database."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    # Readers go on while one writes.
    connection.cursor().execute("PRAGMA journal_mode = WAL")
    with transaction.atomic():
        fill()


if __name__ == "__main__":
    main()
