import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

REVIEWS = pd.DataFrame({"text": ["good food", "bad food", "good", "so bad"], "score": [1, 0, 1, 0]})


def handler(event, context):
    vectors = TfidfVectorizer()
    model = LogisticRegression().fit(vectors.fit_transform(REVIEWS.text), REVIEWS.score)
    return model.predict(vectors.transform(["a good day"])).tolist()
