"""Asynchronous invocation (``InvocationType=Event``): the queue, retries, destinations.

::

    state, clock, counts, services = State(folder), Clock(60), Counts(), Services()
    async with EventQueue(
        functions,  # a ground.invoking.FunctionInvoker
        configuration,  # function, qualifier -> EventConfiguration; KeyError: no such function
        services=services, state=state, clock=clock, counts=counts,
    ) as queue:
        request_id = queue.put("name", None, b"{}")  # then answer 202
"""
