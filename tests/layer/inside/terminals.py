"""Sets and reads the speeds of a terminal by the constants of `termios`. Prints `well`."""

import os
import struct
import termios
from fcntl import ioctl

# The kernel's codes, <asm-generic/termbits.h>.
CODES = {"B50": 1, "B300": 7, "B9600": 13, "B38400": 15, "B57600": 0o10001, "B115200": 0o10002}
CODES |= {"B4000000": 0o10017, "EXTA": 14, "EXTB": 15}
TCGETS2 = 0x802C542A
BAUDS = {"B50": 50, "B300": 300, "B9600": 9600, "B38400": 38400, "B57600": 57600}
BAUDS |= {"B115200": 115200, "B4000000": 4000000, "EXTA": 19200, "EXTB": 38400}


def main() -> None:
    _, terminal = os.openpty()
    for name, bauds in BAUDS.items():
        speed = getattr(termios, name)
        attributes = termios.tcgetattr(terminal)
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        again = termios.tcgetattr(terminal)
        assert again[4:6] == [speed, speed], (name, again)
        assert again[2] & 0o10017 == CODES[name], (name, oct(again[2]))
        # What the kernel understands, past the C library.
        told = struct.unpack("4I20s2I", ioctl(terminal, TCGETS2, bytes(44)))
        assert told[-1] == bauds, (name, told)
        termios.tcsetattr(terminal, termios.TCSANOW, again)
        assert termios.tcgetattr(terminal) == again
    if hasattr(termios, "B7200"):  # none of the older codes is for it
        attributes[4] = attributes[5] = termios.B7200
        try:
            termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        except termios.error:
            pass
        else:
            raise AssertionError("a speed that the C library does not know was taken")
    print("well")


if __name__ == "__main__":
    main()
