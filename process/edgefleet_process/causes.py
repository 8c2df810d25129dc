"""Why the system refused something, in words for people, without Python's numbers and names."""

import ssl


def in_words(error: BaseException) -> str:
    """What the system said, with the file that it was about; of other errors, what they say themselves."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused, {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS failed, {error.reason.replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.strerror:
        said = error.strerror[:1].lower() + error.strerror[1:]
        return said if error.filename is None else f"'{error.filename}': {said}"
    return str(error).removesuffix(".") or type(error).__name__


def behind(error: BaseException) -> BaseException:
    """The system's own error behind those that libraries have wrapped around it; the error itself if there is none."""
    found, cause = error, error.__cause__ or error.__context__
    while cause is not None:
        found, cause = (cause if isinstance(cause, OSError) else found), cause.__cause__ or cause.__context__
    return found
