import io
import logging
import random

import boto3
import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.ensemble import RandomForestRegressor

logger = logging.getLogger()
TABLE = "acidity;alcohol;quality\n" + "\n".join(f"{n % 7};{n % 5};{n % 3}" for n in range(40))


def handler(event, context):
    bucket = event.get("bucket")
    if bucket:
        boto3.client("s3").put_object(Bucket=bucket, Key=str(random.random()), Body=b"")
    data = pd.read_csv(io.StringIO(TABLE), sep=";")
    features = data[["acidity", "alcohol"]]
    model = RandomForestRegressor(n_estimators=5, random_state=2).fit(features, data.quality)
    error = metrics.mean_squared_error(data.quality, model.predict(features))
    logger.info("error: %s", error)
    return round(float(np.sqrt(error)), 6)
