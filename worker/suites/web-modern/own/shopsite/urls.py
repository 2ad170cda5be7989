"""Where everything is."""
from django.urls import path

from . import api, pages

urlpatterns = [
    path("api/health", api.health),
    path("api/categories/<int:number>", api.category),
    path("api/products", api.products),
    path("api/products/<str:sku>", api.product),
    path("", pages.start),
    path("table/<int:number>", pages.table),
    path("product/<str:sku>", pages.product, name="product"),
]
