"""Plots as SVG, readable on light and on dark pages: the reader's own setting chooses the
colours."""

import math
from xml.sax.saxutils import escape

WIDTH = 880
# From this ratio of the greatest value to the least on, an axis is logarithmic.
STEEP = 8
STYLE = """
.card { fill: #ffffff; stroke: #d0d7de }
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.head { font-size: 13px; font-weight: 600 }
.soft { fill: #59636e; font-size: 11px }
.grid { stroke: #d8dee4 }
.axis { stroke: #818b98 }
.a { fill: #0969da } .b { fill: #4d9a5b } .c { fill: #d98026 }
.line { fill: none; stroke-width: 2 } .line.a { stroke: #0969da } \
.line.c { stroke: #d98026; stroke-dasharray: 6 3 }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117; stroke: #3d444d }
text { fill: #f0f6fc }
.soft { fill: #9198a1 }
.grid { stroke: #262c36 }
.axis { stroke: #656c76 }
.a { fill: #58a6ff } .b { fill: #56b366 } .c { fill: #f0a04b }
.line { fill: none } .line.a { stroke: #58a6ff } .line.c { stroke: #f0a04b }
}
"""


def word(x, y, content, style="", anchor="start"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" '
        f'text-anchor="{anchor}">{escape(content)}</text>'
    )


def stroke(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def block(x, y, width, height, style):
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
        f'class="{style}"/>'
    )


def image(title, height, marks):
    size = f'width="{WIDTH}" height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}"'
    card = (
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="6" class="card"/>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">'
    )
    return "\n".join(
        [head, f"<style>{STYLE}</style>", card, word(24, 34, title, "title"), *marks, "</svg>", ""]
    )


def legend(names, styles, y):
    """From the right edge to the left."""
    marks, x = [], WIDTH - 24
    for name, style in reversed(list(zip(names, styles, strict=True))):
        x -= 7.2 * len(name)
        marks += [word(x, y, name), block(x - 16, y - 10, 11, 11, style)]
        x -= 34
    return marks


def bars(title, names, groups, number):
    """Groups of rows of bars, each group with a scale of its own: `[(title, [(label, [value of each
    name])])]`."""
    left, right, thick, gap = 290, WIDTH - 80, 12, 12
    marks, y = legend(names, "abc", 34), 70
    for head, rows in groups:
        marks.append(word(24, y, head, "head"))
        y += 14
        top = y
        most = max(value for _, values in rows for value in values)
        for label, values in rows:
            marks.append(word(left - 12, y + thick * len(values) / 2 + 4, label, anchor="end"))
            for style, value in zip("abc", values, strict=True):
                width = (right - left) * value / most
                marks += [
                    block(left, y, width, thick - 1, style),
                    word(left + width + 6, y + thick - 2, number(value), "soft"),
                ]
                y += thick
            y += gap
        marks.append(stroke(left, top, left, y - gap, "axis"))
        y += 18
    return image(title, y, marks)


def powers(low, high):
    """Values of a logarithmic axis: 1, 2 and 5 of each power of ten, or the powers alone if those
    are many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [
        step * 10.0**exponent
        for exponent in exponents
        for step in ((1, 2, 5) if len(exponents) <= 4 else (1,))
    ]
    return values[
        sum(value <= low for value in values) - 1 : len(values)
        - sum(value >= high for value in values)
        + 1
    ]


def steps(high):
    """Values of an axis from zero on, a handful of them."""
    power = 10.0 ** math.floor(math.log10(high))
    step = next(power * part for part in (0.1, 0.2, 0.5, 1, 2, 5) if high / (power * part) <= 5)
    return [step * index for index in range(math.ceil(high / step) + 1)]


def axis(values):
    """Marked values, and where on it a value is, from 0 to 1. It begins at zero unless that would
    hide the small ones."""
    low, high = min(values), max(values)
    if high < low * STEEP:
        marked = steps(high * 1.001)
        return marked, lambda value: value / marked[-1]
    marked = powers(low * 0.999, high * 1.001)
    first, last = math.log(marked[0]), math.log(marked[-1])
    return marked, lambda value: (math.log(value) - first) / (last - first)


def panel(left, top, content, number):
    """One plot."""
    title, across, labels, series = content
    width, height = 340, 190
    marked, share = axis([value for line in series.values() for value in line])

    def at(index, value):
        return left + 14 + (width - 28) * index / (len(labels) - 1), top + height * (
            1 - share(value)
        )

    marks = [
        word(left - 40, top - 16, title if marked[0] == 0 else f"{title} (logarithmic)", "head")
    ]
    for value in marked:
        y = at(0, value)[1]
        marks += [
            stroke(left, y, left + width, y, "grid"),
            word(left - 8, y + 4, f"{value:g}", "soft", "end"),
        ]
    for index, label in enumerate(labels):
        marks.append(word(at(index, marked[0])[0], top + height + 18, label, "soft", "middle"))
    marks += [stroke(left, top + height, left + width, top + height, "axis")]
    marks += [word(left + width / 2, top + height + 38, across, "soft", "middle")]
    for style, line in zip("ac", series.values(), strict=True):
        points = [at(index, value) for index, value in enumerate(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        marks.append(f'<polyline points="{path}" class="line {style}"/>')
        marks += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" '
            f'class="{style}"><title>{number(value)}</title></circle>'
            for (x, y), value in zip(points, line, strict=True)
        ]
    return marks


def lines(title, panels, number):
    """Two panels in a row; each `(title, what goes across, labels across, {name: values})`."""
    marks = legend(list(panels[0][3]), "ac", 34)
    for index, content in enumerate(panels):
        marks += panel(76 + 430 * (index % 2), 90 + 290 * (index // 2), content, number)
    return image(title, 60 + 290 * math.ceil(len(panels) / 2), marks)
