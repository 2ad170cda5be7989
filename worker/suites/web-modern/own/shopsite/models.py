"""The tables."""
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.backends.signals import connection_created
from django.dispatch import receiver


@receiver(connection_created)
def do_not_wait_for_the_disk(connection, **_):
    """Interpreters are measured, not the disk."""
    connection.cursor().execute("PRAGMA synchronous = OFF")


class Category(models.Model):
    """What products are sorted by."""

    name = models.CharField(max_length=80)


class Tag(models.Model):
    """A word about products."""

    name = models.CharField(max_length=40, unique=True)


class Product(models.Model):
    """What is sold."""

    sku = models.CharField(max_length=40, unique=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="products")
    name = models.CharField(max_length=80)
    description = models.TextField(max_length=2000)
    price = models.IntegerField(validators=[MinValueValidator(0), MaxValueValidator(10_000_000)])
    stock = models.IntegerField(validators=[MinValueValidator(0), MaxValueValidator(100_000)])
    updated = models.DateTimeField(auto_now=True)
    tags = models.ManyToManyField(Tag)

    class Meta:
        """Lists are cheapest first."""

        indexes = [models.Index(fields=["category", "price", "id"])]


class Review(models.Model):
    """What somebody says of a product."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    author = models.CharField(max_length=40)
    stars = models.PositiveSmallIntegerField()
    words = models.TextField()
