"""How the API says no: a code and a sentence, in an envelope of HTTP 200 like every answer."""


class ApiError(Exception):
    """An error answer of the API. Raised anywhere below the server, worded by the server."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
