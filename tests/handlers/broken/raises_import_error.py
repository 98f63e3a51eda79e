raise ImportError("said by the module itself")
