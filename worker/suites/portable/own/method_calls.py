"""Method calls, attribute reads and writes, properties and inheritance."""
import pyperf


class Shape(object):
    def __init__(self, width, height):
        self.width = width
        self.height = height
        self.scale = 1

    def area(self):
        return self.width * self.height * self.scale

    @property
    def perimeter(self):
        return 2 * (self.width + self.height)

    def grow(self, step):
        self.width += step
        self.height += step
        return self


class Square(Shape):
    def __init__(self, side):
        Shape.__init__(self, side, side)

    def area(self):
        return self.width * self.width

    @staticmethod
    def unit():
        return Square(1)


def work():
    total = 0
    shapes = [Shape(2, 3), Square(4), Square.unit()]
    for step in range(2000):
        for shape in shapes:
            total += shape.grow(step & 1).area() + shape.perimeter
            shape.scale = 1 + (step & 1)
    if total != 2362443994:
        raise AssertionError("wrong result: %r" % total)


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Method calls, attributes, properties, inheritance"
    runner.bench_func("method_calls", work)
