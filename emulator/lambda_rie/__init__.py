"""Drives AWS's Runtime Interface Emulator (RIE).

``rie`` runs a function under it, ``run`` is ``make run``, ``roots`` are file systems for it to run
in.
"""
