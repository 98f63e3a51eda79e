import numpy as np
from sklearn.linear_model import LogisticRegression

X = np.array([[0.0], [1.0], [2.0], [3.0]])


def handler(event, context):
    model = LogisticRegression().fit(X, [0, 0, 1, 1])
    return model.predict([[0.5], [3.0]]).tolist()
