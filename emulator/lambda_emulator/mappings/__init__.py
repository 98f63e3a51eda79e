"""Event source mappings: what reads queues and streams, and invokes functions with batches.

::

    tools = Tools(functions, services, clock, counts, state)
    async with Mappings(tools) as mappings:
        configuration = MappingConfiguration.of(
            request,  # as CreateEventSourceMapping has it; ValueError tells what is wrong with it
            uuid=uuid, function="name", qualifier=None, function_arn=arn, role=role,
        )
        await mappings.put(configuration)  # starts, replaces, or stops one that is not enabled
        mappings.status(uuid)  # State and LastProcessingResult
        await mappings.remove(uuid)

The configurations are the caller's to keep; what has been read of a stream is in the state.
"""
