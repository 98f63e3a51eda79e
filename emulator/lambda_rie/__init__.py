"""Drives AWS's Runtime Interface Emulator (RIE).

``rie`` runs a function under it, ``run`` implements ``make run``, and ``roots`` makes the file
systems in which it runs.
"""
