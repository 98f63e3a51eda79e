import jinja2
import markdown
import yaml

page = jinja2.Environment(autoescape=True).from_string(
    "<h1>{{ title }}</h1>{% for item in items %}{{ item }}{% endfor %}"
)
text = markdown.Markdown(extensions=["tables"])


def handler(event, context):
    return [page.render(title="<x>", items=[1, 2]), text.convert("# a"), yaml.safe_load("a: 1")]
