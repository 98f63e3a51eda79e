raise ExceptionGroup("two settings are wrong", [ValueError("PORT"), ValueError("HOST")])
