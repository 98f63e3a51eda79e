value = "layer"
