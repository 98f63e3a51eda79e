from openai import APIConnectionError, OpenAI

client = OpenAI(api_key="none", base_url="http://127.0.0.1:9/v1", max_retries=0)


def handler(event, context):
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    except APIConnectionError as error:
        return type(error).__name__
