"""What Lambda's service needs around functions: a clock, AWS clients, counts, destinations, state.

``asynchronous`` and ``mappings`` stand on it. Whoever runs functions implements
``invoking.FunctionInvoker`` and shares one ``Clock``, ``Counts``, ``Services`` and ``State``.
"""
