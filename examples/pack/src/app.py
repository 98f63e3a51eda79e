"""A page from a template: what it imports is most of its cold start."""

import jinja2

PAGE = jinja2.Environment(autoescape=True).from_string("<h1>Hello, {{ name }}</h1>")


def handler(event: dict[str, str], context: object) -> str:
    return PAGE.render(name=event.get("name", "you"))
