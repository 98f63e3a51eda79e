from chameleon import PageTemplate

TEMPLATE = PageTemplate("""
<table><tr tal:repeat="row rows"><td tal:repeat="cell row" tal:content="cell"/></tr></table>
""")


def handler(event, context):
    return TEMPLATE(rows=[[1, 2], [3, 4]])
