raise ConnectionError("нет базы данных 🚫")
