import atexit
import sys

atexit.register(print, "atexit ran")
print("printed before the exit")
sys.exit(3)
