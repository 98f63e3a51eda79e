import cv2
import numpy as np


def handler(event, context):
    image = np.zeros((8, 8), np.uint8)
    image[2:6, 2:6] = 255
    return int(cv2.resize(image, (4, 4)).sum())
