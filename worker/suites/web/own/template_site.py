"""A site that renders pages from templates: template_site.py FOLDER PORT

Bottle routes, Jinja2 renders, waitress serves with four threads (its default). The data is in memory: templates are measured.
"""
import os
import sys

# MarkupSafe escapes in C where a compiler was at hand when it was installed, which PyPy never uses. Without it every runtime
# runs the same Python.
sys.modules["markupsafe._speedups"] = None

import bottle  # noqa: E402  (after the line above)
import jinja2  # noqa: E402
import waitress  # noqa: E402

import shop  # noqa: E402

PORT = int(sys.argv[2])
ROWS = 300

application = bottle.Bottle()
environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")),
    autoescape=True,
    # A site in production does not look at its files again for each page.
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Product(object):
    """A product as templates see it."""

    def __init__(self, row):
        self.id, self.sku, self.category, self.name, self.description, self.price, self.stock, _ = row
        self.reviews = []

    @property
    def stars(self):
        """Mean of the reviews."""
        return sum(stars for _, stars, _ in self.reviews) / float(len(self.reviews) or 1)

    @property
    def url(self):
        """Where its page is."""
        return "/product/%d" % self.id


class Comment(object):
    """A comment and the answers to it."""

    def __init__(self, number, depth):
        self.author = shop.words(number, 1)
        self.words = shop.words(number * 7, 20)
        self.votes = number * 31 % 100
        self.answers = [Comment(number * 3 + part, depth - 1) for part in range(3)] if depth else []


def price(cents):
    """1234567 -> 12,345.67"""
    return "%s.%02d" % (format(cents // 100, ","), cents % 100)


environment.filters["price"] = price
environment.globals["navigation"] = [("/", u"Start")] + [("/table/%d" % number, u"Category %d" % number) for number in range(8)]

PRODUCTS = [Product(row) for row in shop.products()]
for product_id, author, stars, text in shop.reviews():
    PRODUCTS[product_id].reviews.append((author, stars, text))
# 3 + 9 + 27 + 81 comments below each of ten discussions.
DISCUSSIONS = [[Comment(number * 10 + part, 3) for part in range(3)] for number in range(10)]


def render(name, **values):
    """A page."""
    bottle.response.content_type = "text/html; charset=utf-8"
    return environment.get_template(name).render(path=bottle.request.path, **values)


@application.get("/")
def start():
    """The start page: a few products and a form."""
    return render("start.html", products=PRODUCTS[:12])


@application.get("/table/<number:int>")
def table(number):
    """A table of some hundred rows."""
    begin = number * 37 % (len(PRODUCTS) - ROWS)
    rows = PRODUCTS[begin:begin + ROWS]
    return render("table.html", title=u"Category %d" % number, rows=rows, number=number)


@application.get("/product/<number:int>")
def product(number):
    """A product with what people say of it, and products like it."""
    if number >= len(PRODUCTS):
        return bottle.HTTPError(404, "there is no such product")
    one = PRODUCTS[number]
    return render("product.html", product=one, similar=PRODUCTS[one.category::shop.CATEGORIES][:8])


@application.get("/discussion/<number:int>")
def discussion(number):
    """Comments below comments."""
    return render("discussion.html", comments=DISCUSSIONS[number % len(DISCUSSIONS)], number=number)


if __name__ == "__main__":
    waitress.serve(application, host="127.0.0.1", port=PORT)
