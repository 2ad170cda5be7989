"""The JSON API: asynchronous views over Django's ORM, forms validate."""
import json
import threading

from asgiref.sync import sync_to_async
from django import forms
from django.db import transaction
from django.http import JsonResponse
from django.views.decorators.http import require_GET

from .models import Product

PAGE = 20
# Each request has a thread of its own. SQLite refuses a transaction that reads, and writes after another one did: one writer at
# a time in the program itself refuses nobody.
writing = threading.Lock()


class ProductForm(forms.ModelForm):
    """What clients may set."""

    class Meta:
        """All but what the server knows better."""

        model = Product
        fields = ["sku", "category", "name", "description", "price", "stock"]


def as_json(product):
    """A product as lists show it."""
    return {
        "sku": product.sku, "category": product.category_id, "name": product.name, "description": product.description,
        "price": product.price, "stock": product.stock, "updated": product.updated.isoformat(),
        "url": "/api/products/" + product.sku,
    }


def errors(form, status=422):
    """What is wrong, by field."""
    return JsonResponse({"errors": form.errors.get_json_data()}, status=status)


@require_GET
def health(request):
    """Says that the server and its database are there."""
    return JsonResponse({"healthy": True, "products": Product.objects.count()})


async def category(request, number):
    """One page of a category, cheapest first."""
    try:
        page = max(1, int(request.GET.get("page", "1")))
    except ValueError:
        return JsonResponse({"errors": {"page": "is no number"}}, status=422)
    products = Product.objects.filter(category_id=number)
    total = await products.acount()
    begin = (page - 1) * PAGE
    items = [as_json(one) async for one in products.order_by("price", "id")[begin:begin + PAGE]]
    following = f"/api/categories/{number}?page={page + 1}" if begin + PAGE < total else None
    return JsonResponse({"category": number, "page": page, "total": total, "next": following, "items": items})


async def product(request, sku):
    """One product: read, or written."""
    found = Product.objects.select_related("category").prefetch_related("tags", "reviews").filter(sku=sku)
    one = await found.afirst()
    if one is None:
        return JsonResponse({"errors": {"sku": "there is no such product"}}, status=404)
    if request.method == "PUT":
        return await save(request, one, 200)
    answer = as_json(one)
    answer["category"] = {"id": one.category.id, "name": one.category.name}
    answer["tags"] = sorted(tag.name for tag in one.tags.all())
    answer["reviews"] = [{"author": by.author, "stars": by.stars, "words": by.words} for by in one.reviews.all()]
    return JsonResponse(answer)


async def products(request):
    """A new product."""
    if request.method != "POST":
        return JsonResponse({"errors": {"method": "is not POST"}}, status=405)
    return await save(request, Product(), 201)


async def save(request, one, status):
    """Validates what was sent, and stores it."""
    try:
        sent = json.loads(request.body)
    except ValueError:
        return JsonResponse({"errors": {"body": "is no JSON"}}, status=422)
    form = ProductForm(sent, instance=one)
    if not await store(form):
        return errors(form)
    answer = JsonResponse(as_json(one), status=status)
    answer["Location"] = "/api/products/" + one.sku
    return answer


@sync_to_async
def store(form):
    """A transaction: whether the value is taken is asked in it."""
    with writing, transaction.atomic():
        if not form.is_valid():
            return False
        form.save()
    return True
