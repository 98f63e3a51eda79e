"""The speeds of terminals: numbers of bauds since glibc 2.42, codes of the kernel before.

CPython's `termios` passes its constants B50 … B4000000 to the C library with the values that they
had when it was compiled. `glibc` binds the module to the C library's older functions, so the module
needs the older values: 13 for `B9600`, because the older functions refuse 9600. The values are in
the table of names and values that fills the module. A few constants exist only since glibc 2.42
(`B7200`): they keep their values, and the older functions refuse them.

Codes: the kernel's <asm-generic/termbits.h>, the same on both architectures.
"""

from layer.elf import Elf
from layer.errors import LayerError

FUNCTIONS = ("cfgetispeed", "cfgetospeed", "cfsetispeed", "cfsetospeed")
_SLOW = (50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400)
_FAST = (57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000)
_FASTEST = (2000000, 2500000, 3000000, 3500000, 4000000)
CODES = {
    **{bauds: code for code, bauds in enumerate(_SLOW, 1)},
    **{bauds: 0o10000 + code for code, bauds in enumerate((*_FAST, *_FASTEST), 1)},
}
_NAMES = {f"B{bauds}": bauds for bauds in CODES} | {"EXTA": 19200, "EXTB": 38400}


def encode(termios: Elf) -> None:
    """Give the module's constants the kernel's codes.

    Raises:
        LayerError: the module has no such table, or the table does not hold numbers of bauds.
    """
    found = {}
    for place, name in termios.pointers_to_strings():
        if name in _NAMES:
            found[name] = place + 8  # name and value: a pointer and a long
    for name, bauds in _NAMES.items():
        if name not in found or termios.value(found[name]) != bauds:
            raise LayerError(f"{termios.name} has no {name} of {bauds} bauds: CPython changed it")
        termios.set_value(found[name], CODES[bauds])
