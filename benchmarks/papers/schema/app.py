import xmlschema

SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
<xs:element name="count" type="xs:int"/></xs:schema>"""


def handler(event, context):
    schema = xmlschema.XMLSchema(SCHEMA)
    return [schema.is_valid("<count>3</count>"), schema.is_valid("<count>three</count>")]
