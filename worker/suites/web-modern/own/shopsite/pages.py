"""The pages: views over Django's ORM and templates."""
from django.http import Http404
from django.shortcuts import render

from .models import Category, Product

NAVIGATION = [("/", "Start")] + [(f"/table/{number}", f"Table {number}") for number in range(8)]


def page(request, name, **values):
    """A rendered page."""
    return render(request, name, {"navigation": NAVIGATION, "path": request.path, **values})


def start(request):
    """The start page: categories and a few products."""
    return page(request, "start.html", categories=Category.objects.order_by("id"), products=Product.objects.order_by("id")[:12])


def table(request, number):
    """A table of a hundred rows."""
    begin = number * 37
    rows = Product.objects.select_related("category").order_by("id")[begin:begin + 100]
    return page(request, "table.html", rows=rows, number=number)


def product(request, sku):
    """A product with what people say of it."""
    found = Product.objects.select_related("category").prefetch_related("tags", "reviews").filter(sku=sku).first()
    if found is None:
        raise Http404("there is no such product")
    similar = Product.objects.filter(category=found.category).exclude(pk=found.pk).order_by("price", "id")[:8]
    return page(request, "product.html", product=found, similar=similar)
