import os

os.write(1, b"last words\n")
os._exit(9)
