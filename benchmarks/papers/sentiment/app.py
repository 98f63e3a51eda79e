from textblob import TextBlob


def handler(event, context):
    return round(TextBlob("The food was great, and the service was slow.").sentiment.polarity, 6)
