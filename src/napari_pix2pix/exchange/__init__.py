"""The room of exchange: models handed to people and programs that do not have this package."""
