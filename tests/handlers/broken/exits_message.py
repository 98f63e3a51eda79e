import sys

sys.exit("gone with a message")
